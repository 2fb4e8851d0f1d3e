"""The graph of a study's checkpoints: of any shape, in time that follows its size."""

import time
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study
from mixmerge.study.steps import steps
from mixmerge.yaml_file import parse_document

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()


def study(*checkpoints: str) -> Study:
    """Return a small study with other checkpoints, the first of which is the baseline."""
    before, _, rest = SMALL.partition("checkpoints:\n")
    after = "evaluate:" + rest.partition("evaluate:")[2]
    lines = "".join(f"  {line}\n" for line in checkpoints)
    text = f"{before}checkpoints:\n{lines}{after}".partition("baseline:")
    first = checkpoints[0].partition(":")[0]
    return parse_study(f"{text[0]}baseline: [{first}]\n", "x.yaml")


def test_merges_of_merges_are_followed_once_each() -> None:
    """Two parents at each of sixty generations would be 2.5e12 paths."""
    merges = [
        f"m{n}: {{merge: {{method: linear, models: [m{n - 1}, m{n - 2}]}}}}" for n in range(2, 60)
    ]
    made = study(
        "m0: {train: sft, mixture: safety-0}", "m1: {train: sft, mixture: safety-15}", *merges
    )
    begun = time.monotonic()
    assert made.ancestors("m59") == ["m1", "m0", *(f"m{n}" for n in range(2, 60))]
    assert len({step.id for step in steps(made)}) == len(steps(made))
    assert time.monotonic() - begun < 5


def test_choices_among_choices_are_followed_once_each() -> None:
    """A choice is of the kind of what is chosen among, however often it is named."""
    choices = [f"m{n}: {{select: [m{n - 1}, m{n - 2}]}}" for n in range(2, 60)]
    before, _, rest = SMALL.partition("evaluate:")
    text = (
        before.partition("checkpoints:")[0]
        + "checkpoints:\n"
        + "".join(
            f"  {line}\n"
            for line in ("m0: {model: org/a}", "m1: {model: org/b, kind: expert}", *choices)
        )
    )
    ends = f"evaluate:{rest.partition('baseline:')[0]}baseline: [m0]\n"
    ask = "selection: {prompts: {general: {testbed: general, split: dev}}, weights: {general: 1}}\n"
    made = Study.model_validate(parse_document(text + ends + ask, "x").data)
    assert made.kind("m59") == "expert"
    assert made.stage("m59") == "given"


def test_a_long_row_of_trainings_is_laid_out() -> None:
    """No depth of a recursion bounds how often a model is trained on."""
    rows = [f"m{n}: {{train: sft, mixture: safety-0, start: m{n - 1}}}" for n in range(1, 1200)]
    made = study("m0: {train: sft, mixture: safety-0}", *rows)
    assert made.ancestors("m1199") == [f"m{n}" for n in range(1200)]
    assert made.stage("m1199") == "sft"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("..", r"line \d+: checkpoints\.a\.model: \.\.: no config\.json; a model is a Hugging"),
        ("x" * 5000, r"line \d+: checkpoints\.a\.model: 'x.*no such folder"),
        ("~nobody-at-all/x", r"line \d+: checkpoints\.a\.model: .*no such folder"),
    ],
)
def test_what_cannot_be_a_model_is_refused_before_it_is_read(
    model: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is none may hold a whole disk, all of which would be hashed."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=message):
        study(f"a: {{model: {model}}}")
