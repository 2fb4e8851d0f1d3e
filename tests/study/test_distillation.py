"""A student and its teachers in a study: what is asked, refused, planned and counted."""

from pathlib import Path
from typing import Any

import pytest

import mixmerge
from mixmerge.errors import SpecError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.files import read_json
from mixmerge.study import memory
from mixmerge.study.check import parse_study
from mixmerge.study.explain import explain
from mixmerge.study.memory import Device
from mixmerge.study.run import run
from mixmerge.study.steps import steps
from mixmerge.testbed.model import write_model

STUDY = """
study: distilled
languages: [en]
base: testbed
data:
  general: {testbed: general}
  safety: {testbed: safety}
mixtures:
  general: {size: 64, shares: {general: 1}}
  safety: {size: 64, shares: {safety: 1}}
  both: {size: 64, shares: {general: 0.5, safety: 0.5}}
training:
  sft: {method: sft, learning_rate: 1.0e-3, batch_size: 16}
  distil: {method: distil, learning_rate: 1.0e-3, batch_size: 16, max_completion_length: 24}
checkpoints:
  general: {train: sft, mixture: general}
  safety: {train: sft, mixture: safety}
  slerp: {merge: {method: slerp, models: [general, safety]}}
  student:
    {train: distil, mixture: both, teachers: {general: general, safety: safety}, start: slerp}
evaluate:
  axes:
    safety:
      prompts: {testbed: safety, split: dev}
      judge: {rules: testbed}
      measure: {rate: harmful}
      better: lower
  decoding: {max_new_tokens: 24}
  draws: 1000
"""
TEACHERS = "teachers: {general: general, safety: safety}"


def asked(text: str = STUDY) -> dict[str, Step]:
    """Return the steps of a study by id."""
    return {step.id: step for step in steps(parse_study(text, "s.yaml"))}


def test_teachers_are_inputs_of_the_training() -> None:
    """Each has the role of its source; SFT and distillation read the same rows."""
    step = asked()["train/student"]
    assert step.inputs == {
        "model": "merge/slerp",
        "rows": "mix/both-chats",
        "teacher:general": "train/general",
        "teacher:safety": "train/safety",
    }
    study = parse_study(STUDY, "s.yaml")
    assert study.ancestors("student") == ["general", "safety", "slerp", "student"]
    assert (study.stage("student"), study.kind("student")) == ("distil", "mixture")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f", {TEACHERS}", "", r"line 19: checkpoints\.student: `method: distil` needs `teachers`"),
        (
            "train: sft, mixture: general}",
            "train: sft, mixture: general, teachers: {general: safety}}",
            r"checkpoints\.general\.teachers: `method: sft` does not learn from `teachers`",
        ),
        (
            TEACHERS,
            "teachers: {general: general}",
            r"checkpoints\.student\.teachers: `both` has rows of `safety`, which no model teaches",
        ),
        (
            TEACHERS,
            "teachers: {general: general, safety: safety, saftey: safety}",
            r"teachers\.saftey: there is no `saftey` in `data`.*mean `safety`\?",
        ),
        (
            TEACHERS,
            "teachers: {general: generel, safety: safety}",
            r"checkpoints\.student\.teachers: there is no `generel` in `checkpoints`",
        ),
        (
            TEACHERS,
            "teachers: {general: general, safety: student}",
            r"checkpoints need each other in a circle: student → student",
        ),
    ],
)
def test_a_wrong_teacher_is_explained(old: str, new: str, message: str) -> None:
    """Missing, useless and unknown teachers are refused at their line."""
    assert old in STUDY
    with pytest.raises(SpecError, match=message):
        parse_study(STUDY.replace(old, new), "s.yaml")


def test_the_plan_shows_teachers(tmp_path: Path) -> None:
    """The student stands below its teachers, and says what it does."""
    file = tmp_path / "s.yaml"
    file.write_text(STUDY)
    rows = {row.step: row for row in explain(file, tmp_path / "run").rows}
    assert {"train/general", "train/safety"} < {*rows["train/student"].parents}
    assert rows["train/student"].cost == "Distillation, 4 steps, all weights"


def test_teachers_need_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two teachers take their weights beside the student's, or the larger one's in turn."""
    size = memory.model_size("base/base", {k: Planned(s, "to do") for k, s in asked().items()})
    assert size is not None

    def needed(**placement: Any) -> float:
        """Return the bytes beyond those of the student alone."""
        planned = {id_: Planned(step, "to do") for id_, step in asked().items()}
        step = planned["train/student"].step
        object.__setattr__(step, "placement", {**step.placement, **placement})
        found = memory.step_bytes(planned["train/student"], planned)
        assert found is not None
        return found - memory.training_bytes(planned["train/student"], size)

    monkeypatch.setattr(memory, "device_here", lambda *_: Device("GPU", 1e12, gpu=True))
    assert needed() == (2 + 2) * size.weights
    assert needed(teachers_in_turn=True) == 2 * size.weights


def test_a_teacher_of_another_family_is_found_before_the_run(
    tmp_path: Path, swapped_tokens: Path
) -> None:
    """Its vocabulary is compared with the student's while nothing has been trained."""
    text = STUDY.replace("  slerp:", f"  other: {{model: {swapped_tokens}}}\n  slerp:")
    text = text.replace(TEACHERS, "teachers: {general: general, safety: other}")
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SpecError, match=r"checkpoints\.student\.teachers: .*teacher of `safety`"):
        run(file, tmp_path / "run")
    assert not [*(tmp_path / "run").glob("train/*/model")]


@pytest.fixture
def swapped_tokens(tmp_path: Path) -> Path:
    """A model of the testbed's shape in which two tokens have changed places."""
    import json

    folder = tmp_path / "other"
    write_model(folder)
    file = folder / "tokenizer.json"
    text = json.loads(file.read_text(encoding="utf-8"))
    words = text["model"]["vocab"]
    one, two = list(words)[-2:]
    words[one], words[two] = words[two], words[one]
    file.write_text(json.dumps(text), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_student_is_distilled_and_counted(tmp_path: Path) -> None:
    """The run ends with a student, tested against the mix, with its teachers among its costs."""
    file = tmp_path / "s.yaml"
    with_mix = STUDY.replace("  slerp:", "  mix: {train: sft, mixture: both}\n  slerp:")
    file.write_text(with_mix.replace("evaluate:", "evaluate:\n  baseline: mix"))
    finished = mixmerge.run(file, tmp_path / "run")
    assert finished is not None
    (folder,) = (tmp_path / "run" / "train").glob("student-*")
    report = read_json(folder / "report.json")
    costs = finished.results.costs
    assert costs["student"].teacher_tokens == sum(report["teacher_tokens"].values())
    assert costs["student"].generated_tokens == report["generated_tokens"] > 0
    trained = [costs[name].training_tokens for name in ("general", "safety")]
    assert costs["student"].training_tokens == sum(trained) + report["tokens"]
    arms = {name: model.arm for name, model in finished.results.models.items()}
    assert arms["student"] == "merge then distil"
    assert {(each.a, each.b) for each in finished.results.decisions} == {
        ("slerp", "mix"),
        ("student", "mix"),
    }
    said = finished.report_file.read_text(encoding="utf-8")
    assert "Teacher tokens" in said
    assert "No arm stands at equal data" in said
    assert (finished.report_file.parent / "tables" / "arms.md").is_file()
