"""The arm of a checkpoint, from how it is made or as the study groups it."""

from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.study.arms import answers, arm
from mixmerge.study.check import parse_study, read_study
from mixmerge.study.resolution import comparisons
from mixmerge.study.spec import Study
from mixmerge.study.steps.results import results_settings

STUDY = """
base: testbed
data:
  general: {testbed: general}
  safety: {testbed: safety}
mixtures:
  general: {size: 64, shares: {general: 1}}
  both: {size: 64, shares: {general: 1, safety: 1}}
training:
  sft: {method: sft}
  kto: {method: kto}
  distil: {method: distil}
checkpoints:
  mix: {train: sft, mixture: both}
  hot: {train: sft, mixture: both}
  helpful: {train: sft, mixture: general}
  labelled: {train: kto, mixture: general, stage: sft}
  outside: {model: ./outside, stage: sft}
  slerp: {merge: {method: slerp, models: [helpful, labelled]}}
  student: {train: distil, mixture: general, teachers: {general: helpful}}
  again: {train: distil, mixture: general, teachers: {general: helpful}, start: student}
  merged: {train: distil, mixture: both, teachers: {general: helpful, safety: mix}, start: slerp}
  twice: {train: distil, mixture: both, teachers: {general: helpful, safety: mix}, start: merged}
  best: {select: [student, merged]}
  one: {select: [merged, twice]}
  weighed: {select: [slerp, helpful]}
evaluate:
  axes: {safety: {prompts: {testbed: safety}, judge: {rules: testbed}, measure: {rate: harmful}}}
  baseline: mix
selection: {prompts: {safety: {testbed: safety, split: dev}}}
"""


def study(arms: str = "{}") -> Study:
    """Return the study with some groups of checkpoints."""
    return parse_study(f"{STUDY}arms: {arms}\n", "s.yaml")


def test_an_arm_follows_from_how_a_checkpoint_is_made() -> None:
    """Students of a merge, also in several rounds, differ from other students and from mixtures."""
    made = study()
    assert {name: arm(made, name) for name in made.checkpoints} == {
        "mix": "mix",
        "hot": "mix",
        "helpful": "single expert",
        "labelled": "single expert",
        "outside": "given",
        "slerp": "merge",
        "student": "distil",
        "again": "distil",
        "merged": "merge then distil",
        "twice": "merge then distil",
        "best": "merge then distil",
        "one": "merge then distil",
        "weighed": "merge",
    }


def test_a_study_groups_checkpoints_itself() -> None:
    """Its groups go before what checkpoints are made by; a choice within one group is in it."""
    made = study("{GRPO then merge: [slerp], late: [merged, twice]}")
    assert [arm(made, name) for name in ("slerp", "merged", "one", "best", "student")] == [
        "GRPO then merge", "late", "late", "distil", "distil",
    ]  # fmt: skip


def test_the_answers_to_the_question_are_counted() -> None:
    """Merges, students and named arms are tested; mixtures, experts and the baseline's arm not."""
    tested = ["slerp", "student", "again", "merged", "twice", "best", "one", "weighed"]
    assert answers(study()) == tested
    assert comparisons(study()) == len(tested) * len(study().evaluate.deciding)
    assert answers(study("{hot: [hot], tuned: [outside]}")) == ["hot", "outside", *tested]
    assert answers(study("{mixtures: [mix, hot]}")) == tested


def test_results_are_asked_for_with_arms_and_candidates() -> None:
    """What the step of the results reads says each model's arm, and of how many it is chosen."""
    models = results_settings(study()).models
    assert (models["student"].arm, models["student"].kind) == ("distil", "expert")
    assert [models[name].candidates for name in ("best", "slerp")] == [2, 0]


def test_a_trained_checkpoint_states_its_stage() -> None:
    """Models of several objectives can be merged where they state one stage."""
    assert study().stage("labelled") == "sft"
    assert study().stage("slerp") == "sft"
    text = STUDY.replace(", stage: sft}\n  outside", "}\n  outside")
    with pytest.raises(SpecError, match=r"labelled is kto.*\. A checkpoint that .* its `stage`"):
        parse_study(text, "s.yaml")


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ("{a: [slrep]}", r"arms\.a\.0: there is no `slrep`.*did you mean `slerp`"),
        ("{a: [slerp], b: [slerp]}", r"arms\.b\.0: `slerp` is in the arm `a` already"),
        ("{base: [slerp]}", r"arms\.base: .*the base model's arm"),
        ("{a: []}", r"arms\.a: "),
        ("{' ': [slerp]}", r"arms\. "),
    ],
)
def test_wrong_arms_are_refused(arms: str, message: str) -> None:
    """Unknown and repeated members, empty groups and empty names are named with their place."""
    with pytest.raises(SpecError, match=message):
        study(arms)


STUDENTS = ("student", "merged-student", "taught-student")


def test_the_example_has_every_arm_at_equal_data() -> None:
    """Mix, merges and students stand on the same number of rows, and each arm has a model."""
    example = read_study(Path(__file__).parents[2] / "examples" / "arms.yaml")
    arms = {name: arm(example, name) for name in example.checkpoints}
    assert {*arms.values()} == {
        "mix", "single expert", "merge", "distil", "merge then distil", "merge of RL experts",
    }  # fmt: skip
    trained = example.trained()
    rows = {
        name: sum(
            example.mixtures[trained[each].mixture].size
            for each in example.ancestors(name)
            if each in trained
        )
        for name in ("mix", "linear", "arithmetic", "ties", "dare", *STUDENTS)
    }
    assert {*rows.values()} == {4800}
