"""Tests of mixmerge.execution.store."""

import shutil
from pathlib import Path

import pytest

from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import Store, read_progress, read_task
from mixmerge.files import write_json


def test_identity_is_meaning_only(tmp_path: Path) -> None:
    """Order of settings, placement and needs do not change a step's key."""
    store = Store(tmp_path)
    one = Step("train", "m", {"lr": 0.1, "seed": 0}, placement={"devices": 1})
    two = Step("train", "n", {"seed": 0, "lr": 0.1}, placement={"devices": 8}, needs=Needs(gpus=8))
    assert store.key(one, {}) == store.key(two, {})


@pytest.mark.parametrize(
    "other",
    [
        Step("train", "m", {"lr": 0.2}),
        Step("train", "m", {"lr": 0.1}, version=2),
        Step("merge", "m", {"lr": 0.1}),
    ],
    ids=["settings", "version", "kind"],
)
def test_each_part_of_the_meaning_counts(tmp_path: Path, other: Step) -> None:
    """Another setting, version or kind is another step."""
    store = Store(tmp_path)
    assert store.key(Step("train", "m", {"lr": 0.1}), {}) != store.key(other, {})


def test_files_count_by_content(tmp_path: Path) -> None:
    """The same content at another path is the same step; a changed file is another one."""
    store = Store(tmp_path / "run")
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("same")
    a, b = (Step("mix", "m", files={"rows": str(tmp_path / n)}) for n in ("a.txt", "b.txt"))
    before = store.key(a, {})
    assert before == store.key(b, {})
    (tmp_path / "a.txt").write_text("other!")
    assert store.key(a, {}) != before


def test_a_moved_run_keeps_its_inputs(tmp_path: Path) -> None:
    """Paths between steps are found again after the run folder is moved."""
    store = Store(tmp_path / "old")
    parent, child = Step("mix", "m"), Step("train", "t", inputs={"rows": "mix/m"})
    key = store.key(parent, {})
    parent_folder = store.place(parent, key, {})
    folder = store.place(child, store.key(child, {"mix/m": key}), {"mix/m": parent_folder})
    shutil.move(tmp_path / "old", tmp_path / "new")
    task, _ = read_task(tmp_path / "new" / folder.relative_to(tmp_path / "old"))
    assert task.inputs["rows"] == tmp_path / "new" / parent_folder.relative_to(tmp_path / "old")
    assert task.inputs["rows"].is_dir()


def test_progress_may_be_gone(tmp_path: Path) -> None:
    """A step that ends while it is asked has no progress, which is no error."""
    assert read_progress(tmp_path) is None
    (tmp_path / "progress.json").write_text('{"done": 1, "total": 2, "what": "rows"}')
    assert read_progress(tmp_path) == {"done": 1, "total": 2, "what": "rows"}


def test_a_record_of_another_key_is_none(tmp_path: Path) -> None:
    """A folder whose record belongs to another identity does not count as done."""
    store, step = Store(tmp_path), Step("mix", "m")
    key = store.key(step, {})
    write_json(store.folder(step, key) / "record.json", {"key": "0" * 64})
    assert store.record(step, key) is None
