"""Length of training as a variable: kept steps, and merges over steps."""

from pathlib import Path

import pytest
import yaml

from mixmerge.errors import SpecError
from mixmerge.execution.step import Step
from mixmerge.study.adopt import adopt
from mixmerge.study.check import parse_study
from mixmerge.study.checkpoints import Kept
from mixmerge.study.spec import Study
from mixmerge.study.steps import steps

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()
SFT = "  sft: {method: sft, learning_rate: 1.0e-3, epochs: 1, batch_size: 16}\n"
KEEP = "  sft: {method: sft, max_steps: 9, batch_size: 16, keep_steps: [2, 4]}\n"
LINEAR = """\
  linear:
    merge: {method: linear, models: {sft-0: 0.7, sft-100: 0.3}}
    sweep: {steps: [2, 4, 9]}
"""
ITEMS = "selection: {prompts: {general: {testbed: general}, safety: {testbed: safety}}}\n"


def study(recipe: str = KEEP, more: str = LINEAR, items: str = ITEMS) -> Study:
    """The small study with kept steps and a merge over them."""
    assert SFT in SMALL
    text = SMALL.replace(SFT, recipe).replace("\nevaluate:", f"{more}\nevaluate:")
    return parse_study(text + items, "x.yaml")


def by_id(of: Study) -> dict[str, Step]:
    """The steps of a study."""
    return {step.id: step for step in steps(of)}


def test_kept_steps_are_checkpoints_of_one_training() -> None:
    """They stand before it, are of its kind and stage, and are trained in its one step."""
    of = study()
    assert [*of.checkpoints][:3] == ["sft-0-2", "sft-0-4", "sft-0"]
    assert (of.kind("sft-0-2"), of.stage("sft-15-4")) == ("expert", "sft")
    planned = by_id(of)
    trained = [step.name for step in planned.values() if step.kind == "train"]
    assert trained == ["sft-0", "sft-15", "sft-100", "dpo-15"]
    assert planned["train/sft-0"].settings["keep_steps"] == [2, 4]
    assert "keep_steps" not in planned["train/dpo-15"].settings
    assert planned["kept/sft-0-4"].inputs == {"model": "train/sft-0"}
    assert planned["generate/sft-0-4"].inputs["model"] == "kept/sft-0-4"
    assert {source for step in planned.values() for source in step.inputs.values()} <= {*planned}


def test_a_merge_over_steps_merges_the_models_of_each_step() -> None:
    """Step by step with the weights of the merge; the last step is the trained model itself."""
    tried = study().swept("linear")
    assert {name: merge.models for name, merge in tried.items()} == {
        "linear-2": {"sft-0-2": {"weight": 0.7}, "sft-100-2": {"weight": 0.3}},
        "linear-4": {"sft-0-4": {"weight": 0.7}, "sft-100-4": {"weight": 0.3}},
        "linear-9": {"sft-0": {"weight": 0.7}, "sft-100": {"weight": 0.3}},
    }
    planned = by_id(study())
    assert planned["merge/linear-2"].inputs["sft-0-2"] == "kept/sft-0-2"
    assert planned["merge/linear-9"].inputs["sft-0"] == "train/sft-0"
    # Chosen on the prompts of `selection`, and measured on those of `evaluate`.
    assert planned["select/linear"].inputs["verdicts:linear-2"] == "judge/linear-2@selection"
    results = planned["results/study"]
    assert results.inputs["verdicts:linear-2"] == "judge/linear-2"
    lengths = results.settings["lengths"]
    assert lengths["linear"] == {"2": "linear-2", "4": "linear-4", "9": "linear-9"}
    assert lengths["sft-0"] == {"2": "sft-0-2", "4": "sft-0-4", "9": "sft-0"}


def test_kept_steps_can_be_merged_selected_and_trained_from() -> None:
    """Each by its name, as any checkpoint."""
    more = """\
  early: {merge: {method: linear, models: [sft-0-2, sft-100-4]}}
  best: {select: [sft-15-2, sft-15-4, sft-15]}
  further: {train: dpo, mixture: safety-15, start: sft-15-2}
"""
    planned = by_id(study(more=more))
    assert planned["merge/early"].inputs["sft-0-2"] == "kept/sft-0-2"
    assert planned["select/best"].inputs["model:sft-15-2"] == "kept/sft-15-2"
    assert planned["train/further"].inputs["model"] == "kept/sft-15-2"


def test_a_model_stands_on_trainings_as_far_as_it_needs_them() -> None:
    """A kept step stands on its own steps, and several of one training on the longest."""
    more = """\
  early: {merge: {method: linear, models: [sft-0-2, sft-100-4]}}
  two: {select: [sft-15-4, sft-15-2]}
  best: {select: [sft-15-2, sft-15, sft-15-4]}
  further: {train: dpo, mixture: safety-15, start: sft-15-2}
"""
    of = study(more=more + LINEAR)
    assert of.trainings("sft-15-2") == ["sft-15-2"]
    assert of.trainings("early") == ["sft-0-2", "sft-100-4"]
    assert of.trainings("two") == ["sft-15-4"]
    assert of.trainings("best") == ["sft-15"]
    assert of.trainings("further") == ["sft-15-2", "further"]
    assert of.trainings("dpo-15") == ["sft-15", "dpo-15"]
    # Its choice among all lengths needs the whole trainings.
    assert of.trainings("linear") == ["sft-0", "sft-100"]


def test_a_study_is_written_as_it_was_read() -> None:
    """Kept checkpoints follow from the recipes, so they are not in the file, read once or twice."""
    of = study()
    written = of.model_dump(mode="json", exclude_unset=True)
    assert "sft-0-2" not in written["checkpoints"]
    again = Study.model_validate(yaml.safe_load(yaml.safe_dump(written)))
    assert again == of
    assert isinstance(again.checkpoints["sft-0-2"], Kept)


def test_a_study_that_keeps_nothing_is_as_before() -> None:
    """Neither its steps nor the identity of a training change."""
    planned = by_id(study(recipe=SFT, more="", items=""))
    assert "keep_steps" not in planned["train/sft-0"].settings
    assert "lengths" not in planned["results/study"].settings
    assert not [step for step in planned.values() if step.kind == "kept"]


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        (KEEP.replace("[2, 4]", "[2, 9]"), "", "training.sft.*has 9, and the training ends"),
        (KEEP.replace("[2, 4]", "[4, 2]"), "", r"keep_steps: steps rise from 1.*seen: 2 after 4"),
        (KEEP.replace("[2, 4]", "[0, 2]"), "", "step 0 is the model that the training"),
        (
            KEEP.replace("max_steps: 9", "epochs: 1").replace("[2, 4]", "[2, 10]"),
            "",
            r"training\.sft\.keep_steps: of `sft-0`: `keep_steps` has 10, and the training ends at",
        ),
        (
            KEEP,
            "  sft-0-2: {train: dpo, mixture: safety-0}\n",
            r"checkpoints\.sft-0-2: is the name that step 2 of `sft-0` has: choose another one",
        ),
        (
            KEEP,
            LINEAR.replace("[2, 4, 9]", "[2, 3]"),
            r"sweep\.steps: `sft-0` has no step 3 .*ends at 9\)\. Name it in `training\.sft\.k",
        ),
        (KEEP, LINEAR.replace("[2, 4, 9]", "[2]"), r"sweep\.steps: .*at least 2"),
        (KEEP, LINEAR.replace("[2, 4, 9]", "[4, 2]"), r"sweep\.steps: steps rise.*2 after 4"),
        (KEEP, LINEAR.replace("[2, 4, 9]", "[2, 2]"), r"sweep\.steps: steps rise.*2 after 2"),
        (SFT, LINEAR, r"`sft-0` has no step 2 \(known: none, and ends at 10\)"),
        (
            KEEP,
            LINEAR.replace("sft-100: 0.3", "sft-dare-ties: 0.3"),
            r"sweep\.steps: `sft-dare-ties` is no training of this study, so it has no steps",
        ),
        (
            KEEP,
            LINEAR.replace("sft-100: 0.3", "sft-100-2: 0.3"),
            r"sweep\.steps: `sft-100-2` is no training of this study, so it has no steps",
        ),
        (KEEP, LINEAR.replace("sft-100: 0.3", "sft-101: 0.3"), "there is no `sft-101`"),
        (
            KEEP,
            LINEAR + "  linear-4: {merge: {method: linear, models: [sft-0, sft-100]}}\n",
            r"linear\.sweep: tries `linear-4`, which is the name of another checkpoint",
        ),
        (KEEP, LINEAR.replace("{steps:", "{step:"), "a sweep has one of the keys `weight_of`"),
        (KEEP, LINEAR.replace("{steps:", "{weight_of: sft-0, values: [0, 1], steps:"), "unknown k"),
    ],
)
def test_what_cannot_be_kept_or_swept_is_explained(recipe: str, more: str, message: str) -> None:
    """Each mistake has its place and what to do, and is told once."""
    with pytest.raises(SpecError, match=message) as refused:
        study(recipe, more)
    said = str(refused.value).splitlines()
    assert len(said) == len({*said})


def test_a_merge_over_steps_needs_items_to_choose_on() -> None:
    """As any sweep."""
    with pytest.raises(SpecError, match=r"linear: chooses among candidates, which needs `select"):
        study(items="")


def test_a_length_that_only_the_rows_tell_is_left_out() -> None:
    """With epochs, the last step is known from the size in rows, unless rows may be dropped."""
    epochs = KEEP.replace("max_steps: 9", "epochs: 1")
    assert study(epochs, "", "").lengths("sft-0") == {2: "sft-0-2", 4: "sft-0-4", 10: "sft-0"}
    dropping = epochs.replace("epochs: 1", "epochs: 1, overlong: drop")
    assert study(dropping, "", "").lengths("sft-0") == {2: "sft-0-2", 4: "sft-0-4"}


def test_a_training_with_kept_steps_cannot_be_adopted(tmp_path: Path) -> None:
    """A folder made elsewhere has only the last weights."""
    file = tmp_path / "x.yaml"
    file.write_text(SMALL.replace(SFT, KEEP))
    with pytest.raises(SpecError, match=r"sft-0: its training keeps steps .*\{model: FOLDER\}"):
        adopt(file, "sft-0", tmp_path, tmp_path / "run")
