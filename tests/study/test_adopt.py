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
    with pytest.raises(SpecError, match="sft-15: is done already"):
        mixmerge.adopt(SMALL, "sft-15", elsewhere, root)


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
