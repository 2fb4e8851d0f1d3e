"""Tests of mixmerge.execution.store."""

import os
import shutil
from pathlib import Path

import pytest

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execution import store as stores
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import ADOPTED, Store, adopted_key, read_progress, read_task
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


ODD = ["", "null", "[]", "5", '"text"', "{", '{"key": 1}', "\x00\x00", "[" * 100_000]


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_an_odd_file_of_a_run_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    """Whatever stands where a record, a progress or the digests should be stops nothing."""
    store, step = Store(tmp_path), Step("mix", "m", files={"rows": str(tmp_path / "rows")})
    (tmp_path / "rows").write_text("a")
    key = store.key(step, {})
    folder = store.place(step, key, {})
    for name in ("record.json", "progress.json", "step.json", ADOPTED):
        (folder / name).write_text(text)
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / "hashes.jsonl").write_text(f"{text}\n")
    again = Store(tmp_path)
    assert again.key(step, {}) == key
    assert again.record(step, key) is None
    assert read_progress(folder) is None
    with pytest.raises(SpecError, match=r"step\.json: is damaged or incomplete"):
        read_task(folder)


def test_nothing_waits_for_the_other_end_of_a_pipe(tmp_path: Path) -> None:
    """A pipe for a record is none; one that a step would write to is named before it starts."""
    store, step = Store(tmp_path), Step("mix", "m")
    key = store.key(step, {})
    folder = store.place(step, key, {})
    os.mkfifo(folder / "record.json")
    assert store.record(step, key) is None
    for name in ("lock", "log.txt"):
        os.mkfifo(folder / name)
        with pytest.raises(ResourceError, match=rf"{name}: is not a regular file"):
            store.place(step, key, {})
        (folder / name).unlink()


def recorded(store: Store, step: Step, key: str, **more: object) -> Path:
    """Place a step and record it as done."""
    folder = store.place(step, key, {})
    write_json(
        folder / "record.json", {"key": key, "output": "", "contents": {}, "facts": {}, **more}
    )
    return folder


def test_an_adopted_output_is_part_of_the_identity(tmp_path: Path) -> None:
    """Three models in the place of one training are three identities; without them it is its own.

    A step of another name that is asked the same is not touched.
    """
    step, twin = Step("train", "a", {"lr": 0.1}), Step("train", "b", {"lr": 0.1})
    own = Store(tmp_path).key(step, {})
    keys = []
    for content in ("one", "two", "three"):
        key = adopted_key(own, content)
        folder = recorded(Store(tmp_path), step, key)
        write_json(folder / ADOPTED, {"recipe": own})
        assert Store(tmp_path).key(step, {}) == key
        assert Store(tmp_path).record(step, key) is not None
        assert Store(tmp_path).key(twin, {}) == own
        keys.append(key)
        shutil.rmtree(folder)
        assert Store(tmp_path).key(step, {}) == own
    assert len({own, *keys}) == 4


def test_an_adopted_model_that_is_not_whole_does_not_count(tmp_path: Path) -> None:
    """While it is copied, or when a file of it is gone, the step is what it would be without."""
    step = Step("train", "a")
    own = Store(tmp_path).key(step, {})
    key = adopted_key(own, "content")
    folder = recorded(Store(tmp_path), step, key, contents={"model/weights": 1})
    write_json(folder / ADOPTED, {"recipe": own})
    assert Store(tmp_path).key(step, {}) == own
    (folder / "model").mkdir()
    (folder / "model" / "weights").write_text("x")
    assert Store(tmp_path).key(step, {}) == key


def test_a_change_within_the_clocks_tick_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A digest is kept only of files that had not just been written: times are coarse."""
    file = tmp_path / "rows"
    file.write_text("same")
    step = Step("mix", "m", files={"rows": str(file)})
    stat = file.stat()
    before = Store(tmp_path / "run").key(step, {})
    file.write_text("else")
    monkeypatch.setattr(stores, "state_of", lambda path: (str(path), stat.st_ctime))  # as if equal
    assert Store(tmp_path / "run").key(step, {}) != before


def test_old_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest of a file that has not changed for a while is kept."""
    file = tmp_path / "rows"
    file.write_text("same")
    step = Step("mix", "m", files={"rows": str(file)})
    monkeypatch.setattr(stores, "_CLOCK_SECONDS", -60.0)
    before = Store(tmp_path / "run").key(step, {})
    monkeypatch.delattr(stores, "file_fingerprint")
    assert Store(tmp_path / "run").key(step, {}) == before


def test_a_pointer_to_another_place_is_not_done(tmp_path: Path) -> None:
    """A step whose output points to a folder counts only while that is the one it is asked of."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text("same")
    store = Store(tmp_path / "run")
    old, new = (
        Step("given", "a", files={"model": str(tmp_path / name)}) for name in ("old", "new")
    )
    key = store.key(old, {})
    assert store.key(new, {}) == key
    recorded(store, old, key, outside=[str(tmp_path / "old")])
    assert store.record(old, key) is not None
    assert store.record(new, key) is None


@pytest.mark.parametrize("path", ["x" * 300, "none"])
def test_a_file_that_cannot_be_is_the_users_mistake(tmp_path: Path, path: str) -> None:
    """A path that is not there, or that no disk could have, is named with its step."""
    step = Step("mix", "m", files={"rows": str(tmp_path / path)})
    with pytest.raises(SpecError, match=r"mix/m: .*(cannot be read \(File name too long\)|exist)"):
        Store(tmp_path).key(step, {})
