"""Tests of mixmerge.study.check: mistakes in names that types cannot see."""

from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.study.check import parse_study, read_study, whole_text
from mixmerge.study.steps import steps

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
SHIPPED = Path(__file__).parents[2] / "examples"
EXAMPLES = sorted([*SHIPPED.glob("*.yaml"), *SHIPPED.glob("paper/*.yaml")])


@pytest.mark.parametrize("path", [SMALL, *EXAMPLES], ids=lambda path: path.name)
def test_the_shipped_studies_are_right(path: Path) -> None:
    """Every study file in the repository passes the checks."""
    assert read_study(path).checkpoints


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "sft-0: {train: sft,",
            "sft-0: {train: stf,",
            r"line 21: checkpoints\.sft-0\.train: there is no `stf` in `training` .*mean `sft`\?",
        ),
        (
            "mixture: safety-15, start: sft-15",
            "mixture: safety-15, start: sft-51",
            r"checkpoints\.dpo-15\.start: there is no `sft-51` in `checkpoints`",
        ),
        (
            "models: [sft-0, sft-100]",
            "models: [sft-0, sft-1000]",
            r"checkpoints\.sft-dare-ties\.merge: there is no `sft-1000`.*mean `sft-100`\?",
        ),
        (
            "shares: {general: 1}",
            "shares: {generel: 1}",
            r"line 12: mixtures\.safety-0\.shares\.generel: there is no `generel` in `data`",
        ),
        ("shares: {general: 1}", "shares: {general: -1}", r"shares\.general: .*greater than"),
        ("shares: {general: 1}", "shares: {general: .nan}", r"shares\.general: .*finite number"),
        ("shares: {general: 1}", "shares: {general: 0}", r"all shares are zero"),
        (
            "shares: {general: 1}",
            "shares: {general: 1}, language_shares: {en: 1}",
            r"safety-0\.language_shares: no share for fr; 0 leaves a language out",
        ),
        (
            "shares: {general: 1}",
            "shares: {general: 1}, language_shares: {en: 0, fr: 0}",
            r"line 12: mixtures\.safety-0\.language_shares: all shares are zero",
        ),
        (
            "shares: {general: 1}",
            "shares: {general: 1}, most_copies: 3",
            r"line 12: mixtures\.safety-0\.most_copies: needs `when_short: repeat`",
        ),
        (
            "shares: {general: 1}",
            "shares: {general: 1}, when_short: repeat",
            r"mixtures\.safety-0\.when_short: `repeat` needs `most_copies` of 2 or more",
        ),
        ("languages: [en, fr]", "languages: [en, en]", r"line 4: languages: .*named twice"),
        ("decide_on: [general,", "decide_on: [generel,", r"decide_on\.0: there is no `generel`"),
        (
            "{testbed: safety, split: dev}",
            "{testbed: safty}",
            r"safety\.prompts\.testbed: there is",
        ),
        (
            "{testbed: safety, split: dev}",
            "{testbed: clif/safety}",
            r"safety\.prompts\.testbed: there is no `clif/safety`",
        ),
        ("base: testbed", "base: testbed/clif", r"base.*there is no `testbed/clif`.*testbed/cliff"),
        (
            "{testbed: safety, split: dev}",
            "{testbed: safety, split: x}",
            r"splits are `dev` and `t",
        ),
        (
            "prompts: {testbed: safety, split: dev}, ",
            "",
            r"axes\.safety\.prompts: this key is required",
        ),
        (
            "{testbed: safety, split: dev}, judge: {rules: testbed}",
            "{testbed: safety, split: dev}",
            r"axes\.safety\.judge: this key is required",
        ),
        (
            "{testbed: general, split: dev}, judge: {rules: testbed}",
            "{testbed: general, split: dev}, judge: exact_match",
            r"axes\.general: .*`exact_match` reads single answers and cannot compare two",
        ),
        ("measure: win_rate", "measure: winrate", r"a measure has one of the keys"),
        (
            "{rate: refused}",
            "{mean: [1, 0]}",
            r"lowest and the highest grade.*\(seen: \[1.0, 0.0\]\)",
        ),
        (
            "sft-0: {train: sft, mixture: safety-0}",
            "sft-0: {generate: {endpoint: 'http://localhost:1/v1', model: m}, stage: sft}",
            r"sft-dare-ties: needs the weights of `sft-0`, of which only an endpoint is given",
        ),
        (
            "sft-0: {train: sft, mixture: safety-0}",
            "sft-0: ./sft-0",
            r"one stage only; sft-0 is given, .* that is given or trained can state its `stage`",
        ),
        ("baseline: [sft-15,", "baseline: [sft-16,", r"baseline\.0: there is no `sft-16`"),
        ("baseline: [sft-15,", "baseline: [sft-0, sft-15,", r"sft-0 is the baseline of stage"),
        ("  sft-0: {train: sft, m", "  base: {train: sft, m", r"`base` is the base model"),
        (
            "sft-15: {train: sft, mixture: safety-15}",
            "sft-15: {train: sft, mixture: safety-15, start: dpo-15}",
            r"in a circle: .*sft-15.*dpo-15",
        ),
        (
            "models: [sft-0, sft-100]",
            "models: [sft-0, dpo-15]",
            r"merges checkpoints of one stage only; sft-0 is sft, dpo-15 is dpo",
        ),
        ("mixture: safety-0}", "mixtur: safety-0}", r"mixtur: unknown key.*mean `mixture`\?"),
    ],
)
def test_a_wrong_name_is_explained(old: str, new: str, message: str) -> None:
    """Each wrong name is refused with its line, what is known, and the nearest known name."""
    text = SMALL.read_text()
    assert old in text
    with pytest.raises(SpecError, match=message):
        parse_study(text.replace(old, new, 1), "study.yaml")


def test_a_missing_study_file_is_named(tmp_path: Path) -> None:
    """A path that does not exist is said."""
    with pytest.raises(SpecError, match=r"none\.yaml: no such file"):
        read_study(tmp_path / "none.yaml")


def test_a_study_is_called_as_its_file(tmp_path: Path) -> None:
    """A file without a name gives it its own, in the copy that a run keeps, too."""
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL.read_text().replace("study: small\n", ""))
    assert read_study(path).study == "mine"
    copy = parse_study(whole_text(path), "study.yaml")
    assert copy == read_study(path)


@pytest.mark.parametrize(
    ("recipe", "train", "message"),
    [
        ("method: dpo", "devices: 3", r"line 18: training\.dpo: .*not a multiple of 15"),
        (
            "method: dpo, loss_type: aot",
            "per_device_batch: 4",
            r"dpo: .*at least 16 rows",
        ),
        (
            "method: kto",
            "per_device_batch: 1",
            r"dpo: `method: kto` needs at least 2 rows",
        ),
    ],
)
def test_batches_that_cannot_be_split_are_found_early(
    recipe: str, train: str, message: str
) -> None:
    """What a training would refuse when its turn comes is refused before the run."""
    text = SMALL.read_text().replace("method: dpo", recipe)
    with pytest.raises(SpecError, match=message):
        parse_study(f"{text}\nplacement: {{train: {{{train}}}}}\n", "small.yaml")
    parse_study(f"{text}\nplacement: {{train: {{devices: 1}}}}\n", "small.yaml")


def test_models_are_asked_as_they_were_trained() -> None:
    """Template options of a recipe that differ from the decoding's are refused; a study's agree."""
    text = (Path("tests/data/small.yaml")).read_text()
    decoding = "decoding: {max_new_tokens: 24}"
    other = decoding.replace("24", "24, chat_template: {enable_thinking: false}")
    with pytest.raises(SpecError, match=r"training\.sft\.chat_template: models are asked with"):
        parse_study(text.replace(decoding, other), "small.yaml")
    study = parse_study("chat_template: {enable_thinking: false}\n" + text, "small.yaml")
    asked = {
        step.id: step.settings.get("chat_template")
        for step in steps(study)
        if step.kind in {"train", "generate"}
    }
    assert {str(options) for options in asked.values()} == {"{'enable_thinking': False}"}
