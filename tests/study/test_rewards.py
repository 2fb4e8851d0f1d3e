"""A study's axes as rewards of a training."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Server, says

import mixmerge
from mixmerge.errors import DataError, ResourceError, SpecError, StepFailedError
from mixmerge.evaluation.judges.judge import Decision, verdict
from mixmerge.files import read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Message, Question, Response, TrainingPrompt, Verdict
from mixmerge.study.check import parse_study
from mixmerge.study.steps import steps
from mixmerge.study.steps.rewards import AxisReward, RewardAxis
from mixmerge.testbed.judge import RuleJudge
from mixmerge.training.rewards import RewardedAnswer

STUDY = """
base: testbed
data: {questions: {testbed: general}}
mixtures: {all: {size: 16, shares: {questions: 1}}}
training:
  rl: {method: grpo, reward: {right: 2, refused: 1}, num_generations: 2, max_steps: 2,
    max_completion_length: 12, batch_size: 8}
checkpoints:
  rewarded: {train: rl, mixture: all}
evaluate:
  axes:
    right: {prompts: {testbed: general}, judge: {rules: testbed}, measure: {rate: correct}}
    refused: {prompts: {testbed: general}, judge: {rules: testbed}, measure: {rate: refused},
      better: lower}
    better: {prompts: {testbed: general}, judge: {rules: testbed}, measure: win_rate}
"""
EXACT = "judge: exact_match, measure: {rate: correct}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("right: 2,", "rigth: 2,", r"training\.rl\.reward\.rigth: there is no `rigth` .*`right`\?"),
        (
            "right: 2,",
            "better: 2,",
            r"training\.rl\.reward\.better: compares answers with the base",
        ),
        ("right: 2,", "right: -2,", r"training\.rl\.reward\.right: .*greater than 0"),
        (
            "judge: {rules: testbed}, measure: {rate: correct}",
            "judge: {human: verdicts}, measure: {rate: correct}",
            r"training\.rl\.reward\.right: people judge this axis",
        ),
        ("batch_size: 8", "batch_size: 9", r"training\.rl: `batch_size` is 9 answers"),
        (
            "method: grpo",
            "method: sft",
            r"training\.rl\.reward: `reward` belongs to `method: grpo`",
        ),
    ],
)
def test_a_reward_that_cannot_be_given_is_refused(old: str, new: str, said: str) -> None:
    """Unknown axes, comparisons and people are named at their key before anything runs."""
    with pytest.raises(SpecError, match=said):
        parse_study(STUDY.replace(old, new), "study.yaml")


def test_code_of_answers_needs_permission() -> None:
    """A reward by tests runs code that the model wrote, and is refused like the axis."""
    text = STUDY.replace(
        "judge: {rules: testbed}, measure: {rate: correct}", "judge: {tests: python}, measure: mean"
    )
    with pytest.raises(SpecError, match="`right` runs code that models wrote"):
        parse_study(text, "study.yaml")


def digest(text: str) -> str:
    """Return what identifies the training step."""
    step = next(s for s in steps(parse_study(text, "study.yaml")) if s.kind == "train")
    return json.dumps([step.settings, sorted(step.files)], sort_keys=True, default=str)


def test_its_judges_and_weights_identify_a_training() -> None:
    """Another judge, measure, direction or weight is another training; other axes are not."""
    first = digest(STUDY)
    for old, new in (
        ("right: 2", "right: 3"),
        ("judge: {rules: testbed}, measure: {rate: correct}", EXACT),
        ("better: lower", "better: higher"),
        ("{rate: refused}", "{rate: harmful}"),
    ):
        assert digest(STUDY.replace(old, new)) != first
    same = STUDY.replace("measure: win_rate", "measure: {rate: harmful}")
    same = same.replace("split: dev", "split: test")
    assert digest(same) == first


class Told:
    """A judge that says what it is told."""

    name = "told@1"

    def __init__(self, *told: Decision) -> None:
        self._told = told

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Return the decisions in order."""
        pairs = zip(items, self._told, strict=True)
        return [verdict(item.prompt, question, self.name, each) for item, each in pairs]


def items(count: int) -> list[Item]:
    """Return answers to one prompt."""
    asked = (Message(role="user", content="Where?"),)
    row = TrainingPrompt(id="r", source="s", language="en", prompt=asked)
    prompts = [row.as_prompt(number + 1) for number in range(count)]
    return [
        Item(prompt, Response(prompt=prompt.id, text="Here.", finish_reason="stop", tokens=2))
        for prompt in prompts
    ]


def reward(measure: Any, better: str, *told: Decision) -> list[float]:
    """Return the rewards of answers about which a judge says this."""
    spec = {"measure": measure, "judge": {}, "better": better}
    return AxisReward("axis", RewardAxis.model_validate(spec), Told(*told)).of(items(len(told)))


def test_a_reward_is_a_share_of_the_range_in_the_axiss_direction() -> None:
    """0 is the worst and 1 the best, whatever the bounds of the measure and its direction."""
    yes, no = Decision("yes"), Decision("no")
    assert reward({"rate": "correct"}, "higher", yes, no) == [1, 0]
    assert reward({"rate": "harmful"}, "lower", yes, no) == [0, 1]
    grades = [Decision("graded", score=score) for score in (0, 2.5, 10)]
    assert reward({"mean": [0, 10]}, "higher", *grades) == [0, 0.25, 1]
    assert reward({"mean": [0, 10]}, "lower", *grades) == [1, 0.75, 0]


def test_a_failed_call_is_no_zero_and_only_failed_calls_stop() -> None:
    """A missing verdict is NaN; if every call failed, the training stops and can be resumed."""
    yes, error = Decision("yes"), Decision("error", "timed out")
    for better in ("higher", "lower"):
        found = reward({"rate": "correct"}, better, yes, error, Decision("unreadable"))
        assert [math.isnan(value) for value in found] == [False, True, True]
    with pytest.raises(ResourceError, match=r"axis: all 2 judge calls .*timed out.*resumes"):
        reward({"rate": "correct"}, "higher", error, error)
    mute = Decision("unreadable", "Well, well.")
    with pytest.raises(DataError, match=r"no reply of the judge told@1 has a verdict.*Well, well"):
        reward({"rate": "correct"}, "higher", mute, error)


def test_the_studys_judges_reward_a_training(tmp_path: Path) -> None:
    """From the study file to weights: the rows of the answers have what the axes' judge says."""
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    mixmerge.run(study, tmp_path / "run", only=["train/rewarded"])
    (folder,) = (tmp_path / "run" / "train").iterdir()
    (mixed,) = (tmp_path / "run" / "mix").iterdir()
    rows = {row.id: row for row in read_rows(mixed / "rows.jsonl", TrainingPrompt)}
    answers = read_rows(folder / "answers.jsonl", RewardedAnswer)
    assert len(answers) == 2 * 8
    judge = RuleJudge()
    for answer in answers:
        prompt = rows[answer.id].as_prompt()
        response = Response(prompt=prompt.id, text=answer.text, finish_reason="stop", tokens=1)
        item = Item(prompt, response)
        (right,) = judge.judge([item], Question("right", "outcome", "correct"))
        (refused,) = judge.judge([item], Question("refused", "outcome", "refused"))
        assert answer.rewards == {
            "right": float(right.outcome == "yes"),
            "refused": float(refused.outcome == "no"),
        }
        assert answer.reward == 2 * (answer.rewards["right"] or 0) + (
            answer.rewards["refused"] or 0
        )
    record = json.loads((folder / "record.json").read_text())
    assert record["facts"]["generated_tokens"] == sum(answer.tokens for answer in answers)


def test_a_row_that_cannot_be_judged_stops_before_the_training(tmp_path: Path) -> None:
    """A prompt without what the judge compares with is named, and nothing was trained."""
    rows = [
        {"prompt": f"What is {n} + 1?", "accepted": str(n + 1), "id": f"q{n}"} for n in range(16)
    ]
    del rows[7]["accepted"]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for judge, what in (
        (EXACT, "accepted answers"),
        ("judge: {tests: python}, measure: mean", "tests"),
    ):
        text = STUDY.replace("{testbed: general}}\nmix", f"{{files: {tmp_path}/rows.jsonl}}}}\nmix")
        text = text.replace("judge: {rules: testbed}, measure: {rate: correct}", judge)
        text = text.replace("evaluate:", "evaluate:\n  allow_execution: true")
        study = tmp_path / "study.yaml"
        study.write_text(text)
        with pytest.raises(StepFailedError, match=f"prompt questions/q.*{what}"):
            mixmerge.run(study, tmp_path / "run", only=["train/rewarded"])
        assert not [*tmp_path.glob("run/train/*/answers.jsonl")]


def test_calls_of_a_reward_are_in_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer in training is one call to an endpoint, and the key is asked for by name."""
    monkeypatch.delenv("SOME_KEY", raising=False)
    judge = "{endpoint: 'http://127.0.0.1:9/v1', model: judge, api_key_env: SOME_KEY}"
    study = tmp_path / "study.yaml"
    study.write_text(
        STUDY.replace(
            "judge: {rules: testbed}, measure: {rate: correct}",
            f"judge: {judge}, measure: {{rate: correct}}",
        )
    )
    mixmerge.run(study, tmp_path / "run", only=["prompts/right"])
    plan = mixmerge.plan(study, tmp_path / "run")
    prompts = next((tmp_path / "run").glob("prompts/right-*")) / "rows.jsonl"
    asked = len(prompts.read_text().splitlines())
    assert plan.calls.count == 2 * asked + 2 * 8  # the base and the trained model; two steps
    # Two models are judged, and one training is rewarded.
    assert any("SOME_KEY" in said and "and 2 more steps need it" in said for said in plan.missing)


def test_an_endpoint_rewards_and_its_failures_are_left_out(tmp_path: Path) -> None:
    """An answer whose call fails has no reward, and the report counts such answers."""

    def behave(text: str, attempt: int) -> tuple[int, dict[str, str], bytes]:
        del attempt
        length = len(text)
        return (
            (400, {}, b"{}")
            if length % 3 == 0
            else says(f"VERDICT: {'RIGHT' if length % 2 else 'WRONG'}")
        )

    server = Server(behave)
    judge = f"{{endpoint: '{server.url}', model: j, structured: never, attempts: 1}}"
    text = STUDY.replace(
        "{rules: testbed}, measure: {rate: correct}", f"{judge}, measure: {{rate: correct}}"
    )
    study = tmp_path / "study.yaml"
    study.write_text(text)
    try:
        mixmerge.run(study, tmp_path / "run", only=["train/rewarded"], probe=False)
    finally:
        server.stop()
    (folder,) = (tmp_path / "run" / "train").iterdir()
    answers = read_rows(folder / "answers.jsonl", RewardedAnswer)
    failed = [answer for answer in answers if answer.rewards["right"] is None]
    assert 0 < len(failed) < len(answers)
    assert all(answer.reward is None for answer in failed)
    advice = json.loads((folder / "report.json").read_text())["advice"]
    assert any(said.startswith(f"{len(failed)} of 16 answers had no reward") for said in advice)
