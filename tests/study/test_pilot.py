"""Tests of mixmerge.study.pilot: scores of finished runs, and runs that do not fit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mixmerge.errors import SpecError
from mixmerge.study.check import parse_study, read_study
from mixmerge.study.pilot import read_pilot

Judged = Callable[..., Path]

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
RATES = {"base": 0.8, "sft-0": 0.5, "sft-15": 0.4, "sft-dare-ties": 0.6}
PAIR = ("sft-dare-ties", "sft-15")
BOTH = ("en", "fr")


def test_scores_of_a_run_are_read(tmp_path: Path, judged: Judged) -> None:
    """The tested pair, its questions by language, and its differences are those of the run."""
    pilot = read_pilot([judged(SMALL, tmp_path, RATES)], read_study(SMALL))
    assert pilot.pairs == [PAIR]
    assert pilot.composition("general") == {BOTH: 60}
    drawn = pilot.differences(PAIR, "general", {BOTH: 500}, graded=False)
    assert drawn.clusters == 500
    (stratum,) = drawn.strata
    assert stratum.first.shape == (60, 2)
    assert stratum.first.mean() == pytest.approx(0.6, abs=0.1)


def test_a_study_of_fewer_languages_uses_its_own(tmp_path: Path, judged: Judged) -> None:
    """Prompts in languages that the study does not have are left out."""
    study = parse_study(SMALL.read_text().replace("[en, fr]", "[fr]"), "small.yaml")
    pilot = read_pilot([judged(SMALL, tmp_path, RATES)], study)
    assert pilot.composition("safety") == {("fr",): 60}


def test_languages_that_the_pilot_lacks_are_named(tmp_path: Path, judged: Judged) -> None:
    """A question in more languages than the pilot's cannot be drawn from it."""
    pilot = read_pilot([judged(SMALL, tmp_path, RATES)], read_study(SMALL))
    with pytest.raises(SpecError, match=r"general, .* in en, fr, hi are required \(seen: 0"):
        pilot.differences(PAIR, "general", {("en", "fr", "hi"): 100}, graded=False)


def test_without_a_tested_pair_others_show_how_much_models_differ(
    tmp_path: Path, judged: Judged
) -> None:
    """A run whose merge is not judged yet is a pilot, too."""
    rates = {name: rate for name, rate in RATES.items() if name != "sft-dare-ties"}
    root = judged(SMALL, tmp_path, rates)
    for folder in root.glob("judge/sft-dare-ties-*"):
        (folder / "record.json").unlink()
    pairs = read_pilot([root], read_study(SMALL)).pairs
    assert ("sft-0", "sft-15") in pairs
    assert PAIR not in pairs


def test_the_spread_of_two_seeds(tmp_path: Path, judged: Judged) -> None:
    """A difference of 40 points in one run and of none in the other is a spread of 28."""
    one = judged(SMALL, tmp_path / "a", RATES | {"sft-dare-ties": 0.8}, seed=1)
    two = judged(SMALL, tmp_path / "b", RATES | {"sft-dare-ties": 0.4}, seed=2)
    pilot = read_pilot([one, two], read_study(SMALL))
    assert pilot.spread(PAIR, "general").sd == pytest.approx(0.28, abs=0.1)


def test_two_runs_of_one_seed_are_refused(tmp_path: Path, judged: Judged) -> None:
    """They would show no spread between seeds."""
    runs = [judged(SMALL, tmp_path / name, RATES) for name in "ab"]
    with pytest.raises(SpecError, match="both have the seed 1; runs of the same study"):
        read_pilot(runs, read_study(SMALL))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("general: {prompts", "helpful: {prompts", r"has no axis 'helpful'.*it has `general`"),
        (
            "{rate: harmful, relative: true}",
            "{rate: refused}",
            "'safety' otherwise.*refused",
        ),
        ("better: lower}\n    over", "better: higher}\n    over", "lower is better.*higher"),
    ],
)
def test_other_axes_are_refused(
    tmp_path: Path, judged: Judged, old: str, new: str, said: str
) -> None:
    """A pilot must measure the deciding axes as the study does."""
    root = judged(SMALL, tmp_path, RATES)
    text = SMALL.read_text()
    assert old in text
    text = text.replace(old, new)
    if "helpful" in new:
        text = text.replace("decide_on: [general", "decide_on: [helpful")
    judge = "{endpoint: 'http://127.0.0.1:9/v1', model: some-judge}"
    study = parse_study(text.replace("{rules: testbed}", judge), "other.yaml")
    with pytest.raises(SpecError, match=f"(?s){said}"):
        read_pilot([root], study)


def test_a_constant_axis_is_refused(tmp_path: Path, judged: Judged) -> None:
    """Where all models are always right, nothing shows how much they differ."""
    root = judged(SMALL, tmp_path, dict.fromkeys(RATES, 1.0))
    with pytest.raises(SpecError, match="general is constant: on every prompt, the models of sft"):
        read_pilot([root], read_study(SMALL))


def test_few_questions_are_refused(tmp_path: Path, judged: Judged) -> None:
    """One source question in many languages shows nothing."""
    root = judged(SMALL, tmp_path, RATES, questions=1)
    with pytest.raises(SpecError, match=r"general: verdicts on at least 10 .* \(seen: 1\)"):
        read_pilot([root], read_study(SMALL))


def test_a_run_without_verdicts_is_refused(tmp_path: Path, judged: Judged) -> None:
    """A run that has judged nothing yet compares nothing."""
    root = judged(SMALL, tmp_path, {})
    for record in root.glob("judge/*/record.json"):
        record.unlink()
    with pytest.raises(SpecError, match=r"compares no models yet \(judged: none\)"):
        read_pilot([root], read_study(SMALL))
    with pytest.raises(SpecError, match=r"no study\.yaml"):
        read_pilot([tmp_path / "nothing"], read_study(SMALL))


def test_differences_are_the_same_questions(tmp_path: Path, judged: Judged) -> None:
    """Two models are paired by prompt, whatever the order of their verdicts is."""
    root = judged(SMALL, tmp_path, RATES)
    before = read_pilot([root], read_study(SMALL)).differences(PAIR, "safety", {BOTH: 60}, False)
    (file,) = root.glob("judge/sft-15-*/safety.jsonl")
    file.write_text("".join(sorted(file.read_text().splitlines(keepends=True), reverse=True)))
    after = read_pilot([root], read_study(SMALL)).differences(PAIR, "safety", {BOTH: 60}, False)
    assert np.array_equal(before.strata[0].second, after.strata[0].second)
