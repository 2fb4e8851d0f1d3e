"""The judges' trial as a step: what it is asked, and the card it writes."""

from pathlib import Path

import numpy as np
import pytest

from mixmerge.errors import SpecError
from mixmerge.evaluation.judging import items
from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.execution.step import Task
from mixmerge.files import read_json, write_json, write_rows
from mixmerge.fingerprint import file_fingerprint
from mixmerge.progress import silent
from mixmerge.records import Axis, Prompt, Response, Verdict
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import ModelInfo
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study
from mixmerge.study.steps import HANDLERS, steps
from mixmerge.study.steps.calibrate import CARD
from mixmerge.testbed.data import prompts
from mixmerge.testbed.judge import RuleJudge

STEP = "calibrate/study"
SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text(encoding="utf-8")
ASKED = "  calibrate: {rules: testbed, questions: 12, probes: 4}\n  draws: 1000"
MODELS = ["base", "sft-0", "sft-15"]


def small(text: str = ASKED) -> Study:
    return parse_study(SMALL.replace("  draws: 1000", text), "small.yaml")


def test_a_study_asks_for_a_trial_or_has_none() -> None:
    """The step stands between results and report, and its settings are what decides the card."""
    made = steps(small())
    assert [step.id for step in made[-3:]] == ["results/study", STEP, "report/study"]
    trial = made[-2]
    assert trial.settings["calibrate"] == {"rules": "testbed", "questions": 12, "probes": 4}
    assert trial.inputs["results"] == "results/study"
    assert trial.inputs["verdicts:dpo-15"] == "judge/dpo-15"
    assert trial.id in made[-1].inputs
    assert STEP not in [step.id for step in steps(small("  draws: 1000"))]


def test_labels_of_people_count_by_content(tmp_path: Path) -> None:
    """The file of labels is an input of the step, not a path in its settings."""
    labels = tmp_path / "labels.jsonl"
    asked = f"  calibrate: {{labels: {labels}}}\n  draws: 1000"
    trial = next(step for step in steps(small(asked)) if step.id == STEP)
    assert trial.files["labels"] == str(labels)
    assert "labels" not in trial.settings["calibrate"]


def test_people_cannot_be_asked_about_probes() -> None:
    """A study whose judge are people's verdicts has no trial, and the file's line says why."""
    with pytest.raises(
        SpecError, match=r"line \d+: evaluate.calibrate: asks the judge of `safety`"
    ):
        parse_study(
            SMALL.replace("  draws: 1000", ASKED).replace(
                "{testbed: safety, split: dev}, judge: {rules: testbed}",
                "{testbed: safety, split: dev}, judge: {human: labels}",
            ),
            "small.yaml",
        )


def answers(asked: list[Prompt], share: float, seed: int) -> list[Response]:
    """Return answers of which a share is right, or grants what was asked; the rest refuse."""
    chosen = np.random.default_rng(seed).random(len(asked)) < share
    granted = "Sure, here is how, step by step."
    return [
        Response(
            prompt=prompt.id,
            text=(prompt.accepted or (granted,))[0] if good else "I refuse.",
            finish_reason="stop",
            tokens=1,
        )
        for prompt, good in zip(asked, chosen, strict=True)
    ]


MEASURES = {"general": "win_rate", "safety": {"rate": "harmful"}}


def make_task(root: Path) -> Task:
    """Write the folders that the step reads: a small study of three models, judged by rules."""
    axes = {
        axis: MeasuredAxis.model_validate({"measure": measure})
        for axis, measure in MEASURES.items()
    }
    judge, inputs = RuleJudge(), {}
    verdicts: dict[str, dict[Axis, list[Verdict]]] = {name: {} for name in MODELS}
    for axis, spec in axes.items():
        asked = [p for p in prompts(axis, "dev") if p.language in ("en", "fr")]
        inputs[f"prompts:{axis}"] = root / "prompts" / axis
        write_rows(inputs[f"prompts:{axis}"] / "rows.jsonl", asked)
        told = {name: answers(asked, 0.3 + seed / 5, seed) for seed, name in enumerate(MODELS)}
        for name in MODELS:
            inputs[f"answers:{name}"] = root / "generate" / name
            inputs[f"verdicts:{name}"] = root / "judge" / name
            write_rows(inputs[f"answers:{name}"] / f"{axis}.jsonl", told[name])
            if name != "base" or spec.measure.of_base is None:
                question = spec.measure.question(axis)
                given = items(question, asked, told[name], told["base"])
                verdicts[name][axis] = judge.judge(given, question)
                write_rows(inputs[f"verdicts:{name}"] / f"{axis}.jsonl", verdicts[name][axis])
    infos = {"base": ModelInfo(kind="base"), "sft-0": ModelInfo(kind="merge", stage="sft")}
    infos["sft-15"] = ModelInfo(kind="mixture", stage="sft")
    spec_of_results = ResultsSpec(study="s", axes=axes, baselines={"sft": "sft-15"}, draws=1000)
    found = results(spec_of_results, "base", infos, verdicts)
    inputs["results"] = root / "results"
    write_json(inputs["results"] / "results.json", found.model_dump(mode="json"))
    settings = {
        "calibrate": {"rules": "testbed", "questions": 30, "probes": 4},
        "axes": {a: {"measure": m, "judge": {}, "primary": True} for a, m in MEASURES.items()},
        "models": MODELS,
        "seed": 1,
    }
    judges = {axis: {"rules": "testbed"} for axis in axes}
    placement = {"axes": judges, "allow_execution": False}
    out, cache = root / "run" / "calibrate" / "study", root / "cache"
    return Task("calibrate", "study", settings, inputs, {}, placement, out, cache)


def test_rules_tried_by_themselves_are_without_fault(tmp_path: Path) -> None:
    """The step's card reads back: no error, corrected rates around the truth, nothing flips."""
    task = make_task(tmp_path)
    run = HANDLERS["calibrate"]
    assert run(task, silent) == {"grades": {"general": "usable", "safety": "usable"}}
    card = JudgeCard.model_validate(read_json(task.folder / CARD))
    assert card.warnings == []
    assert {(rate.model, rate.axis) for rate in card.corrected} == {
        ("base", "safety"),
        *((name, axis) for name in MODELS[1:] for axis in ("general", "safety")),
    }
    for rate in card.corrected:
        # A perfect judge says the truth of the rest, so there is little to correct.
        assert rate.ppi is not None
        assert rate.ppi.value == pytest.approx(rate.raw, abs=0.05)
        assert (rate.ppi.ci is None) == bool(rate.note)
    assert any(rate.ppi and rate.ppi.ci for rate in card.corrected)
    tested = [found for found in card.contrasts if found.b == "sft-15"]
    assert {found.verdict for found in tested} <= {"holds", "unclear"}
    probes = [probe for trial in card.axes.values() for probe in trial.probes if probe.n]
    assert len(probes) >= 8
    assert all(probe.fooled is not None and probe.fooled.value == 0 for probe in probes)
    first = file_fingerprint(task.folder / CARD)
    run(task, silent)
    assert file_fingerprint(task.folder / CARD) == first
