"""People's labels: a file of rows, a majority, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.calibration.conftest import (
    MakeMaterial,
    Scripted,
    is_good,
    make_answers,
    make_prompts,
)

from mixmerge.errors import DataError
from mixmerge.evaluation.calibration.calibrate import calibrate
from mixmerge.evaluation.calibration.labels import CalibrateSpec, decided, read_labels
from mixmerge.records import Outcome, Verdict


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def label(outcome: str, judge: str = "anna", **changes: str) -> dict[str, Any]:
    row = {"model": "first", "axis": "harm", "prompt": "q0-en", "outcome": outcome}
    return row | {"judge": judge} | changes


def test_the_majority_of_the_people_is_the_truth(
    make_material: MakeMaterial, tmp_path: Path
) -> None:
    """Two of three decide; one against one decides nothing."""
    rows = [label("yes"), label("yes", "ben"), label("no", "cara")]
    rows += [label("yes", prompt="q1-en"), label("no", "ben", prompt="q1-en")]
    path = write(tmp_path / "labels.jsonl", rows)
    found = read_labels(path, [make_material("harm", Scripted(), questions=2)])["harm"]
    assert found.by == "anna, ben, cara"
    assert found.truth(("first", "q0-en")) == "yes"
    assert found.truth(("first", "q1-en")) is None
    assert found.truth(("first", "q1-fr")) is None


def test_half_of_the_people_are_no_majority(make_material: MakeMaterial, tmp_path: Path) -> None:
    """Two of four are the most, but not more than half."""
    said = zip(("win", "win", "tie", "loss"), ("anna", "ben", "cara", "dan"), strict=True)
    rows = [label(outcome, who, axis="quality") for outcome, who in said]
    path = write(tmp_path / "labels.jsonl", [*rows, label("win", prompt="q1-en", axis="quality")])
    found = read_labels(path, [make_material("quality", Scripted(), questions=2)])["quality"]
    assert found.truth(("first", "q0-en")) is None
    assert found.truth(("first", "q1-en")) == "win"


def test_a_trial_by_people_uses_their_prompts_and_their_agreement(
    make_material: MakeMaterial, tmp_path: Path
) -> None:
    """Only what people labelled is judged, and how far they agree among themselves is told."""
    judge = Scripted()
    material = make_material("harm", judge)
    texts = {row.prompt: row.text for row in make_answers(make_prompts(), 0.6, 1)}
    rows = []
    for index in range(30):
        for language in ("en", "fr"):
            prompt = f"q{index}-{language}"
            truth = is_good(texts[prompt])
            wrong = "no" if truth == "yes" else "yes"
            rows += [
                label(truth, prompt=prompt),
                label(wrong if index < 3 else truth, "ben", prompt=prompt),
                label(truth, "cara", prompt=prompt),
            ]
    path = write(tmp_path / "labels.jsonl", rows)
    card = calibrate(CalibrateSpec(labels=path, probes=0), [material])
    found = card.axes["harm"]
    assert found.truth == "anna, ben, cara"
    assert found.accuracy.n == 60 == judge.shown
    assert found.accuracy.agreement is not None
    assert found.accuracy.agreement.value == 1
    assert found.alpha_of_labels is not None
    assert found.alpha_of_labels.ci is not None
    assert 0.8 < found.alpha_of_labels.value < 1
    assert "quality" not in card.axes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (label("win"), "label 1: the outcome must be one of no, yes .*'win'"),
        (label("yes", model="third"), "label 1: there is no model 'third'; there are base, first"),
        (label("yes", prompt="q9-en"), "label 1: 'q9-en' is not the id of any prompt"),
        (label("yes", axis="refusals"), "label 1: the axis 'refusals' is not evaluated"),
        (label("yes", axis="style"), "label 1: the axis style has grades, .* Remove its labels"),
    ],
)
def test_a_wrong_label_is_named(
    row: dict[str, Any], message: str, make_material: MakeMaterial, tmp_path: Path
) -> None:
    """The message has the file, the place, what was required and what was seen."""
    path = write(tmp_path / "labels.jsonl", [row])
    with pytest.raises(DataError, match=message):
        read_labels(
            path, [make_material(axis, Scripted(), questions=2) for axis in ("harm", "style")]
        )


def test_labels_given_twice_or_not_at_all_are_refused(
    make_material: MakeMaterial, tmp_path: Path
) -> None:
    """One person labels an answer once; an empty file is no trial."""
    path = write(tmp_path / "labels.jsonl", [label("yes"), label("no")])
    with pytest.raises(DataError, match=r"'anna' has labelled the answer of 'first' .* already"):
        read_labels(path, [make_material("harm", Scripted(), questions=2)])
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(DataError, match=r"at least one label is required \(seen: 0\)"):
        read_labels(empty, [make_material("harm", Scripted(), questions=2)])


def test_a_label_for_another_answer_is_refused(make_material: MakeMaterial, tmp_path: Path) -> None:
    """Where a label says what was seen, a trial takes it only if the model answers that now."""
    material = make_material("harm", Scripted())
    now = material.text("first", "q0-en")
    spec = CalibrateSpec(labels=tmp_path / "labels.jsonl", probes=0)
    write(tmp_path / "labels.jsonl", [label("yes", answer=now), label("yes", prompt="q1-en")])
    calibrate(spec, [material])
    write(tmp_path / "labels.jsonl", [label("yes", answer="as it was " + "long ago " * 9)])
    with pytest.raises(DataError, match=r"label 1: given for another answer .*'as it was .*…'; "):
        calibrate(spec, [material])


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["win", "win"], "win"),
        (["win", "tie"], "win"),
        (["win", "loss"], "tie"),
        (["loss", "tie"], "loss"),
        (["win", "unreadable"], None),
        (["yes", "yes", "no"], "yes"),
        (["yes", "no"], None),
    ],
)
def test_several_verdicts_become_one(outcomes: list[Outcome], expected: Outcome | None) -> None:
    """Orders and judges count together, and one missing verdict leaves none."""
    rows = [
        Verdict(prompt="q", cluster="q", language="en", axis="quality", judge="j", outcome=outcome)
        for outcome in outcomes
    ]
    assert decided(rows) == {"q": expected}
