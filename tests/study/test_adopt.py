"""Tests of mixmerge.study.adopt: a checkpoint made elsewhere, in a real run folder."""

import json
import shutil
from pathlib import Path

import pytest

import mixmerge
from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json
from mixmerge.testbed.model import write_model

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that somebody else has trained: here, the base with another name."""
    folder = tmp_path_factory.mktemp("elsewhere") / "their-model"
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose data steps are done."""
    root = tmp_path_factory.mktemp("mixed") / "run"
    wanted = ["base/base", "mix/safety-15-chats", "mix/safety-15-pairs"]
    mixmerge.run(SMALL, root, only=wanted, workers=2)
    return root


@pytest.fixture
def root(mixed: Path, tmp_path: Path) -> Path:
    """A copy of that run."""
    return shutil.copytree(mixed, tmp_path / "run")


def test_an_adopted_checkpoint_is_not_made_again(elsewhere: Path, root: Path) -> None:
    """It is copied and recorded as adopted, counted as its training would be, and it is done."""
    folder = mixmerge.adopt(SMALL, "sft-15", elsewhere, root)
    record = read_json(folder / "record.json")
    assert record["adopted"] == str(elsewhere)
    weights = "model/model.safetensors"
    assert (folder / weights).read_bytes() == (elsewhere / "model.safetensors").read_bytes()
    rows = {row.step: row for row in mixmerge.plan(SMALL, root).rows}
    assert rows["train/sft-15"].state == "done"
    assert rows["train/sft-15"].cost == f"adopted from {elsewhere}"
    assert rows["mix/safety-15-chats"].state == "done"
    assert rows["train/sft-0"].state == "to do"
    # 160 rows in 10 steps of 16: each row is read once.
    assert record["facts"]["rows"] == 160
    assert record["facts"]["steps"] == 10
    (rows_file,) = root.glob("mix/safety-15-chats-*/rows.jsonl")
    lines = rows_file.read_text().splitlines()
    texts = [turn["content"] for line in lines for turn in json.loads(line)["messages"]]
    assert 0 < record["facts"]["tokens"] < sum(map(len, texts))
    with pytest.raises(SpecError, match="sft-15: is already done"):
        mixmerge.adopt(SMALL, "sft-15", elsewhere, root)


def nudged(folder: Path, model: Path, file: str) -> Path:
    """A copy of a model in which one file is changed a little, with its old size and times."""
    shutil.copytree(model, folder)
    content = bytearray((folder / file).read_bytes())
    place = -2 if file.endswith("safetensors") else content.index(b"\n")
    content[place] = content[place] ^ 1 if file.endswith("safetensors") else ord(" ")
    (folder / file).write_bytes(content)
    shutil.copystat(model / file, folder / file)
    return folder


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer_config.json", "config.json"])
def test_a_replaced_checkpoint_makes_all_that_stands_on_it_again(
    elsewhere: Path, root: Path, tmp_path: Path, file: str
) -> None:
    """Another model in the place of an adopted one is another identity: the merge is made again."""
    other = nudged(tmp_path / "other", elsewhere, file)
    first = mixmerge.adopt(SMALL, "sft-0", elsewhere, root, workers=2)
    mixmerge.adopt(SMALL, "sft-100", elsewhere, root, workers=2)
    mixmerge.run(SMALL, root, only=["merge/sft-dare-ties"], workers=2)
    second = mixmerge.adopt(SMALL, "sft-0", other, root)
    assert second != first
    rows = {row.step: row for row in mixmerge.plan(SMALL, root).rows}
    assert rows["train/sft-0"].state == rows["train/sft-100"].state == "done"
    assert rows["merge/sft-dare-ties"].state == "out of date"
    assert "train/sft-0" in rows["merge/sft-dare-ties"].reason
    mixmerge.run(SMALL, root, only=["merge/sft-dare-ties"], workers=2)
    assert len(list(root.glob("merge/sft-dare-ties-*/record.json"))) == 2
    back = mixmerge.adopt(SMALL, "sft-0", elsewhere, root)
    assert back == first
    assert {row.step: row.state for row in mixmerge.plan(SMALL, root).rows}[
        "merge/sft-dare-ties"
    ] == "done"


def test_an_adopted_checkpoint_that_is_removed_is_trained(elsewhere: Path, root: Path) -> None:
    """Without its folder, or a file of it, the step is what the study says; the plan tells why."""
    folder = mixmerge.adopt(SMALL, "sft-15", elsewhere, root)
    (folder / "model" / "model.safetensors").unlink()
    row = {row.step: row for row in mixmerge.plan(SMALL, root).rows}["train/sft-15"]
    assert (row.state, row.reason) == ("out of date", "its output is gone")
    shutil.rmtree(folder)
    assert {row.step: row.state for row in mixmerge.plan(SMALL, root).rows}["train/sft-15"] == (
        "to do"
    )


def test_the_rows_are_mixed_first(elsewhere: Path, root: Path) -> None:
    """A checkpoint's identity includes its rows: the steps that make them are run if need be."""
    (rows,) = root.glob("mix/safety-15-chats-*")
    shutil.rmtree(rows)
    mixmerge.adopt(SMALL, "sft-15", elsewhere, root, workers=2)
    assert (rows / "record.json").is_file()


def test_a_child_of_a_training_that_is_not_here(elsewhere: Path, root: Path) -> None:
    """DPO's checkpoint can be adopted without the SFT checkpoint that it started from."""
    mixmerge.adopt(SMALL, "dpo-15", elsewhere, root)
    rows = {row.step: row.state for row in mixmerge.plan(SMALL, root).rows}
    assert rows["train/dpo-15"] == "done"
    assert rows["train/sft-15"] == "to do"


def test_a_model_of_another_shape_is_refused(elsewhere: Path, root: Path, tmp_path: Path) -> None:
    """A tensor that the base model does not have, or has in another shape, is named."""
    from safetensors.numpy import load_file, save_file

    other = tmp_path / "other"
    shutil.copytree(elsewhere, other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1].copy()
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(ModelError, match=r"tensor model\.norm\.weight is \d+, the base model's"):
        mixmerge.adopt(SMALL, "sft-15", other, root)
    assert not list(root.glob("train/*/record.json"))


def test_an_unknown_checkpoint_is_named(elsewhere: Path, tmp_path: Path) -> None:
    """A name that the study does not have is refused with those that it has."""
    with pytest.raises(SpecError, match=r"sft-16: there is no such checkpoint.* sft-0, sft-15"):
        mixmerge.adopt(SMALL, "sft-16", elsewhere, tmp_path / "run")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """What is missing is said before any data step runs."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        mixmerge.adopt(SMALL, "sft-15", tmp_path / "empty", tmp_path / "run")
    assert not (tmp_path / "run").exists()
