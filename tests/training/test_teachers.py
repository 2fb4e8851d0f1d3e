"""The models that a student is distilled from."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError, ModelError
from mixmerge.records import ModelFolder
from mixmerge.training.teachers import check_sources, check_teachers, load_teachers


def test_teachers_with_another_vocabulary_are_refused(
    cohere: Path, llama: Path, tiny: Any, tmp_path: Path
) -> None:
    """Another number of logits, and the same number of other tokens, are named with the source."""
    student = ModelFolder(cohere)
    check_teachers(student, {"here": student, "there": ModelFolder(llama)})
    larger = ModelFolder(tiny.make_model(tmp_path / "larger", vocab_size=512))
    with pytest.raises(ModelError, match=r"larger: the teacher of `there` has logits for 512 tok"):
        check_teachers(student, {"here": student, "there": larger})
    other = tiny.make_model(tmp_path / "other")
    file = other / "tokenizer.json"
    text = json.loads(file.read_text(encoding="utf-8"))
    words = text["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    file.write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(ModelError, match=r"other: the teacher of `here` has other tokens than the"):
        check_teachers(student, {"here": ModelFolder(other), "there": student})


def test_every_source_without_a_teacher_is_named(cohere: Path) -> None:
    """A teacher that no row asks for is no mistake."""
    teachers = {"here": ModelFolder(cohere), "unused": ModelFolder(cohere)}
    check_sources(["here", "here"], teachers)
    with pytest.raises(DataError, match=r"rows of `c`, `d` have no teacher; known are `here`, `un"):
        check_sources(["d", "here", "c"], teachers)


def test_a_folder_is_loaded_once(cohere: Path, llama: Path, tmp_path: Path) -> None:
    """Two sources of one teacher share its memory, also by another path; nothing has a gradient."""
    (tmp_path / "link").symlink_to(cohere)
    folders = {"a": cohere, "b": tmp_path / "link", "c": llama}
    given = {source: ModelFolder(folder) for source, folder in folders.items()}
    loaded = load_teachers(given, "cpu", bfloat16=True)
    assert loaded["a"] is loaded["b"] is not loaded["c"]
    assert not any(weight.requires_grad for weight in loaded["c"].parameters())
    assert str(loaded["a"].dtype) == "torch.bfloat16"
