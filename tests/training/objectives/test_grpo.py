"""GRPO and RLOO: answers made in training, judged, and compared with others to one prompt."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file

from mixmerge.errors import DataError, SpecError
from mixmerge.files import read_rows, write_rows
from mixmerge.records import Item, TrainingPrompt
from mixmerge.training import AdapterSpec, TrainJob, TrainPlacement, TrainSpec
from mixmerge.training.report import CurvePoint
from mixmerge.training.rewards import Reward, RewardedAnswer
from mixmerge.training.run import train

Prompts = Callable[[int], Path]
Scores = dict[str, list[float]]
BASE: dict[str, Any] = {
    "reward": {"letters": 1.0},
    "num_generations": 4,
    "max_completion_length": 8,
    "batch_size": 8,
    "learning_rate": 1e-2,
    "warmup_ratio": 0,
}
EACH = pytest.mark.parametrize("method", ["grpo", "rloo"])


def grpo(method: str = "grpo", **changed: Any) -> TrainSpec:
    """Return settings of a short training."""
    return TrainSpec.model_validate({"method": method, "max_steps": 3, **BASE, **changed})


def letters(items: Sequence[Item]) -> Scores:
    """Reward an answer by the number of its letters."""
    return {"letters": [sum(map(str.isalpha, item.answer.text)) / 10 for item in items]}


def told(scores: Scores, items: Sequence[Item]) -> Scores:
    """Return what a test says, whatever the answers are."""
    del items
    return scores


def by_letters(_: object = None) -> Reward:
    """Return `letters` as a reward that another process can make."""
    return Reward("letters", letters, f"{__name__}:by_letters")


@pytest.fixture
def prompts(tmp_path: Path, tiny: Any) -> Prompts:
    """Write this many prompts and return the file."""

    def write(count: int) -> Path:
        pairs = [tiny.pair(number) for number in range(count)]
        known = ("id", "source", "language", "prompt")
        rows = [
            TrainingPrompt(**{name: getattr(pair, name) for name in known}, accepted=(pair.chosen,))
            for pair in pairs
        ]
        write_rows(tmp_path / "prompts.jsonl", rows)
        return tmp_path / "prompts.jsonl"

    return write


def answers(out: Path) -> list[RewardedAnswer]:
    """Return what the model wrote in a training."""
    return read_rows(out / "answers.jsonl", RewardedAnswer)


def curve(out: Path) -> list[CurvePoint]:
    """Return the steps of a training."""
    return read_rows(out / "curve.jsonl", CurvePoint)


def weights(folder: Path) -> dict[str, Any]:
    """Return a model's weights."""
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    """Return whether two models have the same weights to the bit."""
    mine, theirs = weights(one), weights(other)
    return all(np.array_equal(mine[name], theirs[name]) for name in mine)


@EACH
def test_a_constant_reward_teaches_nothing(
    method: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Without differences there is no gradient, and the report counts the steps."""
    constant = Reward(0, lambda items: {"letters": [0.7] * len(items)})
    spec = grpo(method, beta=0)
    report = train(spec, model=cohere, rows=prompts(4), out=tmp_path / "out", reward=constant)
    assert same(cohere, tmp_path / "out" / "model")
    assert [point.grad_norm for point in curve(tmp_path / "out")] == [0, 0, 0]
    (note,) = [note for note in report.notes if "equal rewards" in note]
    assert note.startswith("In 3 of 3 steps, all answers to each prompt had equal rewards")
    assert note in (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")


@EACH
def test_a_rewarded_token_becomes_likelier(
    method: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Its probability rises after every prompt, and so does the mean reward."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(cohere)
    rows = read_rows(prompts(4), TrainingPrompt)

    def chances(folder: Path) -> Any:
        model = AutoModelForCausalLM.from_pretrained(folder)
        found = []
        for row in rows:
            turns = [turn.model_dump() for turn in row.prompt]
            asked = words.apply_chat_template(
                turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            with torch.inference_mode():
                found.append(model(**asked).logits[0, -1].softmax(-1))
        return torch.stack(found)

    before = chances(cohere)
    special = [*words.all_special_ids]
    usual = before.mean(0).index_fill(0, torch.tensor(special), 0)
    token = next(
        int(each) for each in usual.argsort(descending=True) if words.decode([each]).isalpha()
    )
    wanted = words.decode([token])
    reward = Reward(wanted, lambda items: {"letters": [i.answer.text == wanted for i in items]})
    # At first the token is one answer in 270.
    many = {"max_completion_length": 1, "num_generations": 128, "batch_size": 512}
    spec = grpo(method, max_steps=15, schedule="constant", **many)
    train(spec, model=cohere, rows=tmp_path / "prompts.jsonl", out=tmp_path / "o", reward=reward)
    after = chances(tmp_path / "o" / "model")
    assert (after[:, token] > 2 * before[:, token]).all()
    points = curve(tmp_path / "o")
    assert (points[-1].reward or 0) > (points[0].reward or 0)


def test_the_weighted_sum_is_what_is_trained_on_and_kept(
    cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Each answer's reward is the sum over its axes, and the curve has the mean of the step."""

    def both(items: Sequence[Item]) -> Scores:
        short = [1 / (1 + len(item.answer.text)) for item in items]
        return {"short": short, **letters(items), "unused": [5.0] * len(items)}

    spec = grpo(reward={"letters": 0.5, "short": 2.0})
    out = tmp_path / "out"
    train(spec, model=cohere, rows=prompts(4), out=out, reward=Reward(0, both))
    rows, points = answers(out), curve(out)
    assert len(rows) == 3 * 8
    for row in rows:
        assert row.rewards.keys() == {"letters", "short"}
        expected = 0.5 * (row.rewards["letters"] or 0) + 2.0 * (row.rewards["short"] or 0)
        assert row.reward == pytest.approx(expected, abs=1e-12)
    for point in points:
        step = [row.reward or 0 for row in rows if row.step == point.step]
        assert point.reward == pytest.approx(np.mean(step), abs=1e-6)
    # Four answers to each prompt follow each other.
    asked = [row.id for row in rows]
    assert all(len({*asked[start : start + 4]}) == 1 for start in range(0, len(asked), 4))


@EACH
def test_a_missing_verdict_is_no_zero(
    method: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Answers that one judge says nothing about are left out of the step, and counted."""

    def failing(items: Sequence[Item]) -> Scores:
        broken = [math.nan if place % 3 == 0 else 0.5 for place, _ in enumerate(items)]
        return {"fails": broken, "letters": [0.5] * len(items)}

    spec = grpo(method, beta=0, reward={"letters": 1.0, "fails": 1.0})
    out = tmp_path / "out"
    report = train(spec, model=cohere, rows=prompts(4), out=out, reward=Reward(0, failing))
    # With zeros in place of what is missing, the rewards would differ.
    assert same(cohere, out / "model")
    first = answers(out)[0]
    assert (first.rewards, first.reward) == ({"letters": 0.5, "fails": None}, None)
    (note,) = [note for note in report.notes if "no reward" in note]
    assert note.startswith("9 of 24 answers had no reward")
    assert "fails: 9" in note


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("loss", ["dapo", "grpo", "dr_grpo", "bnpo"])
def test_losses_follow_the_equations(
    loss: str, scale: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """At a ratio of 1 the loss is minus the advantages, averaged as each paper says."""

    def some(items: Sequence[Item]) -> Scores:
        found = letters(items)["letters"]
        return {"letters": [math.nan if n == 5 else value for n, value in enumerate(found)]}

    spec = grpo(loss_type=loss, scale_rewards=scale)
    out = tmp_path / "out"
    train(spec, model=cohere, rows=prompts(4), out=out, reward=Reward(0, some))
    for point in curve(out):
        rows = [row for row in answers(out) if row.step == point.step]
        rewards = np.array([math.nan if r.reward is None else r.reward for r in rows])
        groups = rewards.reshape(2, 4)
        spread = {
            "group": np.nanstd(groups, axis=1, ddof=1, keepdims=True) + 1e-4,
            "batch": np.nanstd(rewards, ddof=1) + 1e-4,
            "none": 1.0,
        }[scale]
        advantages = (groups - np.nanmean(groups, axis=1, keepdims=True)) / spread
        advantages = np.nan_to_num(advantages).ravel()
        tokens = np.array([row.tokens for row in rows])
        total = (advantages * tokens).sum()
        expected = {
            "dapo": total / tokens.sum(),
            "bnpo": total / tokens.sum(),
            "grpo": advantages.mean(),
            "dr_grpo": total / (8 * 8),
        }[loss]
        assert point.loss == pytest.approx(-expected, abs=2e-6)


@EACH
def test_it_resumes_to_the_same_bytes(
    method: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """After a stop between checkpoints, answers, rewards, losses and weights are the same."""
    spec, rows = grpo(method, max_steps=5), prompts(6)
    given: dict[str, Any] = {"model": cohere, "rows": rows, "reward": by_letters()}
    placement = TrainPlacement(save_steps=2, per_device_batch=4)

    def interrupt(done: float, total: float, what: str) -> None:
        if what.startswith("training") and (done, total) == (4, 5):
            raise KeyboardInterrupt("at step 4")

    stopped, straight = tmp_path / "stopped", tmp_path / "straight"
    with pytest.raises(KeyboardInterrupt, match="at step 4"):
        train(spec, out=stopped, placement=placement, progress=interrupt, **given)
    assert max(row.step for row in answers(stopped)) == 4
    resumed = train(spec, out=stopped, placement=placement, **given)
    whole = train(spec, out=straight, placement=placement, **given)
    assert (resumed.resumed_from, whole.resumed_from) == (2, 0)
    assert answers(stopped) == answers(straight)
    assert same(stopped / "model", straight / "model")
    losses = [[point.loss for point in curve(out)] for out in (stopped, straight)]
    assert losses[0] == losses[1]
    assert (resumed.tokens, resumed.notes) == (whole.tokens, whole.notes)


def test_a_split_changes_neither_answers_nor_losses(
    cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """One, two or eight answers in a forward pass are the same training up to rounding."""
    rows = prompts(6)
    made = {}
    for size in (1, 2, 8):
        out = tmp_path / str(size)
        placement = TrainPlacement(per_device_batch=size)
        train(grpo(), model=cohere, rows=rows, out=out, reward=by_letters(), placement=placement)
        made[size] = out
    for size in (1, 2):
        assert [row.text for row in answers(made[size])] == [row.text for row in answers(made[8])]
        losses = [[point.loss for point in curve(made[each])] for each in (size, 8)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)


_KILLED = """
import os, signal, sys
from pathlib import Path
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.run import train
from tests.training.objectives.test_grpo import by_letters

def kill(done, total, what):
    if what.startswith("training") and done == 4:
        os.kill(os.getpid(), signal.SIGKILL)

spec, model, rows, out = sys.argv[1:]
train(TrainSpec.model_validate_json(spec), model=model, rows=Path(rows), out=Path(out),
      reward=by_letters(), placement=TrainPlacement(save_steps=3), progress=kill)
"""


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("adapter", [None, AdapterSpec(rank=2)], ids=["full", "lora"])
def test_a_killed_training_resumes_to_the_same_bytes(
    method: str, adapter: AdapterSpec | None, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """After SIGKILL, weights, answers with their rewards, losses and counts are the same."""
    spec, rows = grpo(method, max_steps=6, beta=0.1, adapter=adapter), prompts(6)
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, spec.model_dump_json(), cohere, rows, killed],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert max(row.step for row in answers(killed)) == 4
    given: dict[str, Any] = {"model": cohere, "rows": rows, "reward": by_letters()}
    resumed, whole = train(spec, out=killed, **given), train(spec, out=straight, **given)
    assert (resumed.resumed_from, whole.resumed_from) == (3, 0)
    for name in ("model/model.safetensors", "answers.jsonl"):
        assert (killed / name).read_bytes() == (straight / name).read_bytes(), name
    losses = [[point.loss for point in curve(out)] for out in (killed, straight)]
    assert losses[0] == losses[1]
    for name in ("tokens", "generated_tokens", "reference_tokens", "unfinished", "notes", "flops"):
        assert getattr(resumed, name) == getattr(whole, name), name


@pytest.mark.slow
@EACH
def test_two_ranks_train_as_one(
    method: str, cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Two processes write the answers of one, and each makes the judges from their factory."""
    rows, one, two = prompts(6), tmp_path / "one", tmp_path / "two"
    given: dict[str, Any] = {"model": cohere, "rows": rows, "reward": by_letters()}
    spec = grpo(method, beta=0.1)
    train(spec, out=one, placement=TrainPlacement(per_device_batch=4), **given)
    report = train(spec, out=two, placement=TrainPlacement(devices=2), **given)
    assert report.ranks == 2
    assert [row.text for row in answers(one)] == [row.text for row in answers(two)]
    losses = [[point.loss for point in curve(out)] for out in (one, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_rloo_counts_its_reference_and_starts_at_zero(
    cohere: Path, prompts: Prompts, tmp_path: Path
) -> None:
    """Advantages of one prompt sum to zero; each token is read twice more than it is written."""
    out = tmp_path / "out"
    report = train(grpo("rloo"), model=cohere, rows=prompts(4), out=out, reward=by_letters())
    assert report.first_loss == pytest.approx(0, abs=1e-6)
    assert report.reference_tokens == report.tokens
    assert report.forward_tokens == 2 * report.tokens
    written = sum(row.tokens for row in answers(out))
    assert report.generated_tokens == report.target_tokens == written


def test_a_truncated_answer_can_be_left_out(cohere: Path, prompts: Prompts, tmp_path: Path) -> None:
    """If every answer reaches the limit, nothing is trained on, and all of them are counted."""
    spec = grpo(mask_truncated_completions=True, max_completion_length=1)
    out = tmp_path / "out"
    report = train(spec, model=cohere, rows=prompts(4), out=out, reward=by_letters())
    assert report.unfinished == sum(row.finish_reason == "length" for row in answers(out)) == 24
    assert same(cohere, out / "model")


def test_bad_recipes_are_refused_at_their_key() -> None:
    """A reward is required, its weights are positive, and a step has whole groups of answers."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"reward": None}, r"reward\s+Field required"),
        ({"reward": {}}, "at least 1 item"),
        ({"reward": {"letters": 0}}, "greater than 0"),
        ({"reward": {"letters": math.inf}}, "finite number"),
        ({"num_generations": 1}, "greater than or equal to 2"),
        ({"temperature": 0}, "greater than 0"),
        ({"loss_type": "sigmoid"}, "'dapo'"),
    ]
    for changed, said in cases:
        with pytest.raises(ValidationError, match=said):
            grpo(**changed)
    job = {"model": "m", "rows": "r", "settings": {"method": "grpo", **BASE, "batch_size": 6}}
    with pytest.raises(ValidationError, match=r"is 6 answers, .* multiple of `num_generations` .4"):
        TrainJob.model_validate(job)
    with pytest.raises(ValidationError, match="needs at least 8 rows in each forward pass"):
        TrainJob.model_validate(
            {
                "model": "m",
                "rows": "r",
                "settings": {"method": "grpo", **BASE, "loss_type": "bnpo"},
                "placement": {"per_device_batch": 2},
            }
        )


def test_what_cannot_be_judged_is_refused(cohere: Path, prompts: Prompts, tmp_path: Path) -> None:
    """Nothing that judges, no way to judge on two devices, no room for an answer: one message."""
    rows, out = prompts(4), tmp_path / "out"
    with pytest.raises(SpecError, match="`method: grpo` needs something that judges answers"):
        train(grpo(), model=cohere, rows=rows, out=out)
    lone, two = Reward("letters", letters), TrainPlacement(devices=2)
    with pytest.raises(SpecError, match="`devices` is 2, and this reward has no `factory`"):
        train(grpo(), model=cohere, rows=rows, out=out, reward=lone, placement=two)
    wrong: list[tuple[Scores, str]] = [
        ({}, r"reward `letters`: .* each of 8 answers.*seen: 0 numbers"),
        ({"letters": [1.0] * 7}, "seen: 7 numbers"),
        ({"letters": [math.inf] + [1.0] * 7}, r"seen: \[inf\]"),
    ]
    for scores, said in wrong:
        reward = Reward(0, partial(told, scores))
        with pytest.raises(SpecError, match=said):
            train(grpo(), model=cohere, rows=rows, out=out, reward=reward)
    long = grpo(max_completion_length=120)
    with pytest.raises(DataError, match=r"longer than max_length.*`max_completion_length`"):
        train(long, model=cohere, rows=rows, out=out, reward=by_letters())
    text = rows.read_text(encoding="utf-8").splitlines()
    empty = {**json.loads(text[1]), "prompt": [{"role": "user", "content": ""}]}
    rows.write_text("\n".join([text[0], json.dumps(empty), *text[2:]]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2: `prompt.0.content`: .*at least 1 character"):
        train(grpo(), model=cohere, rows=rows, out=out, reward=by_letters())
