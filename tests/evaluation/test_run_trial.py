"""The judges' trial in a stand-alone evaluation: ahead of it, or with it."""

from pathlib import Path

import pytest
from tests.evaluation.calibration.conftest import Scripted

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation import run
from mixmerge.evaluation.spec import EvaluateJob
from mixmerge.files import write_rows
from mixmerge.records import Message, Prompt
from mixmerge.records.judge_card import JudgeCard


def reads(text: str) -> str:
    """Say something about an answer that differs from answer to answer."""
    return "yes" if sum(text.encode()) % 2 else "no"


@pytest.fixture
def job(tiny_model: Path, other_model: Path, tmp_path: Path) -> EvaluateJob:
    """Return an evaluation of one model beside the base, with a trial of its judge."""
    rows = [
        Prompt(
            id=f"q{index}",
            cluster=f"q{index}",
            language="en",
            messages=(Message(role="user", content=f"question {index}"),),
        )
        for index in range(30)
    ]
    write_rows(tmp_path / "prompts.jsonl", rows)
    axis = {"prompts": {"files": "prompts.jsonl"}, "judge": {"rules": "testbed"}}
    return EvaluateJob.model_validate(
        {
            "languages": ["en"],
            "base": tiny_model,
            "models": {"other": other_model},
            "evaluate": {
                "general": axis,
                "safety": axis,
                "decoding": {"max_new_tokens": 4},
                "calibrate": {"rules": "testbed", "questions": 10, "probes": 2},
                "draws": 1000,
            },
        }
    )


def test_a_trial_ahead_asks_only_about_labelled_answers(job: EvaluateJob, tmp_path: Path) -> None:
    """Nothing is judged but ten answers a model and the probes; the card is on disk."""
    judge = Scripted(reads=reads)  # type: ignore[arg-type]
    out = tmp_path / "out"
    card = run.calibrate(job, out, folder=tmp_path, rule_judges={"testbed": judge})
    assert JudgeCard.model_validate_json((out / "judge_card.json").read_text()) == card
    assert not (out / "verdicts").exists()
    assert (card.axes["general"].accuracy.n, card.axes["safety"].accuracy.n) == (10, 20)
    probes = sum(probe.n for trial in card.axes.values() for probe in trial.probes)
    # The judge is its own truth here, so it sees the labelled answers twice.
    assert judge.shown == 2 * 30 + probes
    assert card.corrected == ()


def test_an_evaluation_corrects_its_rates(job: EvaluateJob, tmp_path: Path) -> None:
    """With the section the card has corrected rates; without it an earlier card goes."""
    judge = Scripted(reads=reads)  # type: ignore[arg-type]
    out = tmp_path / "out"
    run.evaluate(job, out, folder=tmp_path, rule_judges={"testbed": judge})
    card = JudgeCard.model_validate_json((out / "judge_card.json").read_text())
    assert [(rate.model, rate.axis) for rate in card.corrected] == [
        ("other", "general"),
        ("base", "safety"),
        ("other", "safety"),
    ]
    bare = job.model_copy(update={"evaluate": job.evaluate.model_copy(update={"calibrate": None})})
    run.evaluate(bare, out, folder=tmp_path, rule_judges={"testbed": judge})
    assert not (out / "judge_card.json").exists()
    with pytest.raises(SpecError, match="needs a section `calibrate` that says where the labels"):
        run.calibrate(bare, out, folder=tmp_path, rule_judges={"testbed": judge})


def test_what_stops_a_trial_is_said_before_any_answer(job: EvaluateJob, tmp_path: Path) -> None:
    """A missing section, labels that are not there and people as judges cost nothing first."""
    out = tmp_path / "out"
    rules = {"testbed": Scripted(reads=reads)}  # type: ignore[arg-type]

    def changed(**more: object) -> EvaluateJob:
        raw = job.model_dump(exclude_defaults=True)
        raw["evaluate"] |= more
        return EvaluateJob.model_validate(raw)

    prompts = {"files": "prompts.jsonl"}
    people = changed(safety={"prompts": prompts, "judge": {"human": "people"}})
    for work in (run.evaluate, run.calibrate):
        with pytest.raises(DataError, match=r"nowhere\.jsonl"):
            work(
                changed(calibrate={"labels": "nowhere.jsonl"}),
                out,
                folder=tmp_path,
                rule_judges=rules,
            )
        with pytest.raises(SpecError, match="safety: `calibrate` asks a judge about probes"):
            work(people, out, folder=tmp_path, rule_judges=rules)
    with pytest.raises(SpecError, match="needs a section `calibrate`"):
        run.calibrate(changed(calibrate=None), out, folder=tmp_path, rule_judges=rules)
    served = {"endpoint": "http://localhost:1/v1", "model": "m"}
    of_model = {"prompts": prompts, "judge": served}
    with pytest.raises(SpecError, match="cannot reach the testbed's rules; give `labels`"):
        run.calibrate(changed(general=of_model, safety=of_model), out, folder=tmp_path)
    assert not (out / "answers").exists()
