"""A stand-alone evaluation of real model folders, from prompts to results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.evaluation.endpoint_server import Server, says

from mixmerge.errors import DataError, ModelError, SpecError
from mixmerge.evaluation import run
from mixmerge.evaluation.spec import EvaluateJob, JobModel
from mixmerge.files import read_rows, write_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import (
    Axis,
    Message,
    Outcome,
    Prompt,
    Response,
    Results,
    Verdict,
)


class Alphabetical:
    """A judge whose verdict is the order of the texts: it needs no sense, only answers."""

    name = "alphabetical@1"

    def __init__(self) -> None:
        self.judged = 0

    def _verdict(self, prompt: Prompt, axis: Axis, outcome: Outcome) -> Verdict:
        self.judged += 1
        return Verdict(
            prompt=prompt.id,
            cluster=prompt.cluster,
            language=prompt.language,
            axis=axis,
            judge=self.name,
            outcome=outcome,
        )

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        return [
            self._verdict(
                p, "general", "win" if a.text > b.text else "tie" if a.text == b.text else "loss"
            )
            for p, a, b in zip(prompts, answers, base_answers, strict=True)
        ]

    def classify(
        self,
        axis: Literal["safety", "over_refusal"],
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        return [
            self._verdict(p, axis, "yes" if a.text[:1] < "a" else "no")
            for p, a in zip(prompts, answers, strict=True)
        ]


def write_prompts(path: Path) -> None:
    write_rows(
        path,
        [
            Prompt(
                id=f"q{index}-{language}",
                cluster=f"q{index}",
                language=language,
                messages=(Message(role="user", content=f"{language} {index}"),),
            )
            for index in range(12)
            for language in ("en", "hi")
        ],
    )


@pytest.fixture
def job(tiny_model: Path, other_model: Path, tmp_path: Path) -> EvaluateJob:
    """Return an evaluation of two models beside the base: another one, and the base again."""
    write_prompts(tmp_path / "prompts.jsonl")
    axis = {"prompts": {"files": "prompts.jsonl"}, "judge": {"rules": "testbed"}}
    return EvaluateJob.model_validate(
        {
            "languages": ["en", "hi"],
            "base": tiny_model,
            "models": {
                "other": other_model,
                "same": {"path": tiny_model, "kind": "merge", "method": "linear"},
            },
            "evaluate": {
                "general": axis,
                "safety": axis,
                "decoding": {"max_new_tokens": 4},
                "baseline": "other",
                "draws": 1000,
            },
        }
    )


def evaluate(job: EvaluateJob, folder: Path, judge: Alphabetical, **more: Any) -> Results:
    return run.evaluate(job, folder / "out", folder=folder, rule_judges={"testbed": judge}, **more)


def test_models_are_answered_judged_and_compared(job: EvaluateJob, tmp_path: Path) -> None:
    """Answers, verdicts and results are on disk; a copy of the base ties and harms as the base."""
    heard: list[str] = []

    def listen(done: float, total: float, what: str) -> None:
        assert done <= total
        heard.append(what)

    found = evaluate(job, tmp_path, Alphabetical(), progress=listen)
    out = tmp_path / "out"
    assert Results.model_validate_json((out / "results.json").read_text()) == found
    assert list(found.models) == ["base", "other", "same"]
    same = found.models["same"]
    assert (same.kind, same.method, same.general.ties) == ("merge", "linear", 24)
    assert same.safety.harm_rate == found.models["base"].safety.harm_rate
    assert [(c.a, c.b, c.axis) for c in found.contrasts] == [
        ("same", "other", "general"),
        ("same", "other", "safety"),
    ]
    verdicts = read_rows(out / "verdicts" / "other" / "general.jsonl", Verdict)
    wins = sum(verdict.outcome == "win" for verdict in verdicts)
    assert found.models["other"].general.wins == wins
    assert len(read_rows(out / "answers" / "base" / "safety.jsonl", Response)) == 24
    asked = EvaluateJob.model_validate_json((out / "job.json").read_text())
    assert (asked, asked.evaluate.decoding.max_new_tokens) == (job, 4)
    assert heard[0] == "base, general: answers"


def test_a_second_call_makes_only_what_changed(
    job: EvaluateJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is generated or judged twice; another judge judges the same answers again."""
    judge = Alphabetical()
    first = evaluate(job, tmp_path, judge)
    written = (tmp_path / "out" / "results.json").read_bytes()
    judged = judge.judged
    monkeypatch.setattr(run, "generate", None)
    assert evaluate(job, tmp_path, judge) == first
    assert (tmp_path / "out" / "results.json").read_bytes() == written
    assert judge.judged == judged
    judge.name = "alphabetical@2"
    evaluate(job, tmp_path, judge)
    assert judge.judged == 2 * judged


def test_testbed_prompts_come_from_the_caller(job: EvaluateJob, tmp_path: Path) -> None:
    """`{testbed: test}` asks the given function for what the job needs; without one it says so."""
    prompts = read_rows(tmp_path / "prompts.jsonl", Prompt)
    axis = {"prompts": {"testbed": "test"}, "judge": {"rules": "testbed"}}
    raw = job.model_dump(exclude_defaults=True)
    raw["evaluate"] |= {"general": axis, "safety": axis}
    testbed_job = EvaluateJob.model_validate(raw)
    asked: list[tuple[str, str, list[str]]] = []

    def testbed(axis: Axis, split: str, languages: Sequence[str]) -> list[Prompt]:
        asked.append((axis, split, list(languages)))
        return prompts

    evaluate(testbed_job, tmp_path, Alphabetical(), testbed_prompts=testbed)
    languages = list(job.languages)
    assert asked == [("general", "test", languages), ("safety", "test", languages)]
    with pytest.raises(SpecError, match="general: this call cannot reach the testbed's prompts"):
        evaluate(testbed_job, tmp_path, Alphabetical())


def test_what_cannot_work_is_said_before_any_answer(job: EvaluateJob, tmp_path: Path) -> None:
    """A missing model, an empty language and unknown rules stop before anything is generated."""
    broken = job.model_copy(update={"base": JobModel(path=Path("nowhere"))})
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        evaluate(broken, tmp_path, Alphabetical())
    with pytest.raises(DataError, match="the language 'fr' is empty"):
        evaluate(job.model_copy(update={"languages": ("en", "fr")}), tmp_path, Alphabetical())
    with pytest.raises(SpecError, match=r"no rules 'testbed' to judge by \(known: none\)"):
        run.evaluate(job, tmp_path / "out", folder=tmp_path)
    assert not (tmp_path / "out" / "answers").exists()


def test_people_judge_each_model_from_their_files(job: EvaluateJob, tmp_path: Path) -> None:
    """Every prompt of every model is covered by a verdict in its folder, or counted as missing."""
    prompts = read_rows(tmp_path / "prompts.jsonl", Prompt)
    for model, harmful in (("base", 12), ("other", 3), ("same", 12)):
        rows = [
            Verdict(
                prompt=prompt.id,
                cluster=prompt.cluster,
                language=prompt.language,
                axis="safety",
                judge="ann",
                outcome="yes" if number < harmful else "no",
            )
            for number, prompt in enumerate(prompts)
            if (model, number) != ("other", 23)
        ]
        write_rows(tmp_path / "people" / model / "safety.jsonl", rows)
    raw = job.model_dump(exclude_defaults=True)
    raw["evaluate"]["safety"] = {
        "prompts": {"files": "prompts.jsonl"},
        "judge": {"human": "people"},
    }
    found = evaluate(EvaluateJob.model_validate(raw), tmp_path, Alphabetical())
    assert found.models["base"].safety.harm_rate == 0.5
    assert found.models["other"].safety.harm_rate == pytest.approx(3 / 23)
    assert (found.models["other"].safety.missing, found.models["same"].safety.missing) == (1, 0)
    raw["evaluate"]["calibrate"] = {"rules": "testbed"}
    with pytest.raises(SpecError, match="safety: `calibrate` asks a judge about probes"):
        evaluate(EvaluateJob.model_validate(raw), tmp_path, Alphabetical())


def test_a_served_model_takes_part(job: EvaluateJob, tmp_path: Path) -> None:
    """A model behind an endpoint is asked the same prompts with the same decoding, once."""
    server = Server(lambda text, _attempt: says(f"about {text}"))
    try:
        raw = job.model_dump(exclude_defaults=True)
        raw["models"]["served"] = {"generate": {"endpoint": server.url, "model": "m"}}
        served = EvaluateJob.model_validate(raw)
        found = evaluate(served, tmp_path, Alphabetical())
        assert evaluate(served, tmp_path, Alphabetical()) == found
    finally:
        server.stop()
    # General and safety ask the same prompts here, and an answered call is never sent again.
    assert len(server.calls) == 24
    assert {body["max_tokens"] for body in server.calls} == {4}
    answers = read_rows(tmp_path / "out" / "answers" / "served" / "safety.jsonl", Response)
    assert answers[0].text == "about en 0"
    assert found.models["served"].general.n == 24


def test_another_way_of_asking_asks_the_judge_again(job: EvaluateJob, tmp_path: Path) -> None:
    """A judge model's temperature changes its verdicts though not its name; its speed does not."""
    server = Server(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    try:
        raw = job.model_dump(exclude_defaults=True)

        def run_with(**more: Any) -> int:
            asked = {"endpoint": server.url, "model": "m", "structured": "never", **more}
            raw["evaluate"]["safety"] = {"prompts": {"files": "prompts.jsonl"}, "judge": asked}
            before = len(server.calls)
            evaluate(EvaluateJob.model_validate(raw), tmp_path, Alphabetical())
            return len(server.calls) - before

        first = run_with()
        assert run_with(concurrency=2) == 0
        assert run_with(temperature=1.0) == first > 0
        assert server.calls[-1]["temperature"] == 1.0
    finally:
        server.stop()


def test_a_killed_run_leaves_no_mark_of_an_earlier_one(
    job: EvaluateJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New answers or verdicts that a kill left without their mark are not taken for old ones."""
    first = evaluate(job, tmp_path, Alphabetical())
    longer = job.model_dump(exclude_defaults=True)
    longer["evaluate"]["decoding"] = {"max_new_tokens": 8}
    with monkeypatch.context() as patched:
        patched.setattr(run, "_mark_made_from", _killed)
        with pytest.raises(KeyboardInterrupt, match="killed"):
            evaluate(EvaluateJob.model_validate(longer), tmp_path, Alphabetical())
    assert evaluate(job, tmp_path, Alphabetical()) == first
    answers = read_rows(tmp_path / "out" / "answers" / "base" / "general.jsonl", Response)
    assert max(row.tokens for row in answers) <= 4
    other = Alphabetical()
    other.name = "alphabetical@2"
    with monkeypatch.context() as patched:
        patched.setattr(run, "_mark_made_from", _killed)
        with pytest.raises(KeyboardInterrupt, match="killed"):
            evaluate(job, tmp_path, other)
    again = Alphabetical()
    evaluate(job, tmp_path, again)
    assert again.judged > 0


def _killed(path: Path, key: str) -> None:
    raise KeyboardInterrupt(f"killed before {path} {key}")
