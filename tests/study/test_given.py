"""Tests of mixmerge.study.steps: given models, and placements on a smaller machine."""

import os
import shutil
from pathlib import Path

import pytest

import mixmerge
from mixmerge.errors import ModelError
from mixmerge.execution.environment import CORES
from mixmerge.execution.step import Step, Task
from mixmerge.execution.store import Store, read_record
from mixmerge.execution.worker import run_step
from mixmerge.progress import silent
from mixmerge.study.spec import Study
from mixmerge.study.steps import HANDLERS, KINDS
from mixmerge.study.steps import given as steps_given
from mixmerge.study.steps.kind import model_path, within_cores
from mixmerge.testbed.model import write_model


@pytest.mark.parametrize(
    ("asked", "cores", "threads"),
    [
        ({"threads": 8, "devices": 1}, "2", 2),
        ({"threads": 4, "devices": 2}, "4", 2),
        ({"threads": 1, "devices": 4}, "2", 1),
        ({"threads": 4}, "8", 4),
        ({"threads": 4}, None, 4),
        ({"threads": None, "devices": 1}, "2", None),
    ],
)
def test_threads_stay_within_the_cores(
    asked: dict[str, int | None],
    cores: str | None,
    threads: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A placement made for a larger machine is lowered to what the engine has for the step."""
    if cores is None:
        monkeypatch.delenv(CORES, raising=False)
    else:
        monkeypatch.setenv(CORES, cores)
    assert within_cores(asked)["threads"] == threads


@pytest.mark.parametrize("name", ["runs/models/foo", "my model"])
def test_a_mistyped_base_folder_is_the_users_mistake(name: str, tmp_path: Path) -> None:
    """What is neither a folder here nor a possible name on the hub is said; nothing is fetched."""
    settings = {"from": "hub", "name": name, "revision": None}
    task = Task("base", "base", settings, {}, {}, {}, tmp_path, tmp_path / "cache")
    with pytest.raises(ModelError, match=f"^{name}: no such folder, and not a hub name"):
        HANDLERS["base"](task, silent)


def test_a_base_model_that_moved_is_found_again(tmp_path: Path) -> None:
    """The base step of a copied run is done again where its model is at another place."""
    write_model(tmp_path / "here")
    store = Store(tmp_path / "run")

    def base_at(place: str) -> tuple[Path, str]:
        step = Step("base", "base", {"from": "folder"}, files={"model": str(tmp_path / place)})
        key = store.key(step, {})
        return store.place(step, key, {}), key

    folder, key = base_at("here")
    assert run_step(folder, HANDLERS) == 0
    assert read_record(folder, key) is not None
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert read_record(folder, key) is None
    again, same_key = base_at("there")
    assert (again, same_key) == (folder, key)
    assert run_step(again, HANDLERS) == 0
    assert model_path(again) == tmp_path / "there"


def given(folder: Path, tmp_path: Path) -> str:
    """Run the step of a given checkpoint and return why it fails."""
    settings, files = {"from": "folder"}, {"model": folder}
    task = Task("given", "mine", settings, {}, files, {}, tmp_path, tmp_path / "cache")
    with pytest.raises(ModelError, match=str(folder)) as caught:
        HANDLERS["given"](task, silent)
    return str(caught.value)


def test_an_adapter_is_no_checkpoint(tmp_path: Path) -> None:
    """A LoRA adapter is refused with the recipe that makes a model of it."""
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    (tmp_path / "step").mkdir()
    assert "is a LoRA adapter and no whole model" in given(tmp_path / "lora", tmp_path / "step")


def test_a_checkpoint_needs_its_tokenizer(tmp_path: Path) -> None:
    """A given folder without a tokenizer is refused before anything is asked."""
    write_model(tmp_path / "bare")
    for file in (tmp_path / "bare").glob("tokenizer*"):
        file.unlink()
    (tmp_path / "step").mkdir()
    assert "no tokenizer" in given(tmp_path / "bare", tmp_path / "step")


ASKED = {"prompts": {"testbed": "general"}, "judge": {"rules": "testbed"}, "measure": "win_rate"}
COMMITS = ("0" * 40, "1" * 40)


@pytest.mark.parametrize(
    ("model", "follows"), [("org/m", True), ("org/m@main", True), (f"org/m@{COMMITS[0]}", False)]
)
def test_a_name_on_the_hub_counts_by_what_was_downloaded(
    model: str, follows: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch that moved is another model for what stands on it; another cache is not.

    A commit is an identity by itself: what stands on it is known before anything is downloaded.
    """
    study = Study.model_validate(
        {
            "base": "testbed",
            "checkpoints": {"a": {"model": model}},
            "evaluate": {"axes": {"g": ASKED}},
        }
    )
    (step,) = KINDS["given"].plan(study)
    assert step.by_output is follows
    outputs: list[str] = []
    for commit, cache in ((COMMITS[0], "x"), (COMMITS[0], "y"), (COMMITS[1], "y")):
        snapshot = tmp_path / cache / "snapshots" / commit
        if not snapshot.exists():
            write_model(snapshot)
        monkeypatch.setattr(steps_given, "resolve", lambda _name, found=snapshot: found)
        store = Store(tmp_path / f"run-{len(outputs)}")
        key = store.key(step, {})
        assert run_step(store.place(step, key, {}), HANDLERS) == 0
        record = store.record(step, key)
        assert record is not None
        outputs.append(record["output"])
    assert outputs[0] == outputs[1] != outputs[2]


STUDY = """
base: testbed
checkpoints:
  a: {model: ./a}
  b: {model: ./b}
  both: {merge: {method: linear, models: [a, b]}}
evaluate:
  axes:
    g: {prompts: {testbed: general}, judge: {rules: testbed}, measure: win_rate}
"""


def test_a_given_model_counts_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on a folder is made again when a file of it changes, however that is hidden.

    Old times, a link to another file, a link to another folder: the merge is out of date each time,
    and done again when the content is back; a copy at another place is the same model.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write_model(tmp_path / name)
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    mixmerge.run(study, tmp_path / "run", only=["merge/both"], workers=2)

    def states() -> tuple[str, str]:
        rows = {row.step: row.state for row in mixmerge.plan(study, tmp_path / "run").rows}
        return rows["given/a"], rows["merge/both"]

    assert states() == ("done", "done")
    weights = tmp_path / "a" / "model.safetensors"
    before, times = weights.read_bytes(), weights.stat()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert states() == ("out of date", "out of date")
    shutil.move(weights, tmp_path / "other")
    weights.write_bytes(before)
    assert states() == ("done", "done")
    weights.unlink()
    weights.symlink_to(tmp_path / "other")
    assert states() == ("out of date", "out of date")
    shutil.move(tmp_path / "a", tmp_path / "changed")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert states() == ("done", "done")
    config = tmp_path / "b" / "config.json"
    config.write_text(config.read_text().replace("\n", " \n", 1))
    assert states() == ("out of date", "out of date")
