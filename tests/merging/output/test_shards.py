"""Behaviour of the output's files: laid out beforehand, written in any order, whole or absent."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from mixmerge.errors import ResourceError
from mixmerge.merging.models.safetensors_io import NewTensor
from mixmerge.merging.output.shards import ShardFile, index_text, lay_out

TENSORS = [NewTensor(f"t{i}", "F32" if i % 2 else "BF16", (i + 1, 3)) for i in range(6)]


def contents() -> dict[str, bytes]:
    """Return other bytes for every tensor: its number, in its type."""
    values = {t.name: np.full(t.shape, n, np.float32) for n, t in enumerate(TENSORS)}
    bits = {name: (value.view(np.uint32) >> 16).astype(np.uint16) for name, value in values.items()}
    return {t.name: (values if t.dtype == "F32" else bits)[t.name].tobytes() for t in TENSORS}


def now(function: Callable[..., object], *args: object) -> object:
    """Do at once what can wait."""
    return function(*args)


def test_written_shards_are_read_by_the_safetensors_library(tmp_path: Path) -> None:
    """Pieces written in any order stand in shards no larger than asked, with a right index."""
    shards = lay_out(TENSORS, 80)
    for shard in shards:
        file = ShardFile(tmp_path, shard, now)
        for name in reversed(shard.places):
            content = contents()[name]
            for start in reversed(range(0, len(content), 7)):
                file.write(name, start, memoryview(content[start : start + 7]))
        file.finish()
    index = json.loads(index_text(TENSORS, shards))
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in TENSORS)
    assert list(index["weight_map"]) == [t.name for t in TENSORS]
    files = sorted(path.name for path in tmp_path.iterdir())
    assert sorted(set(index["weight_map"].values())) == files
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    for number, tensor in enumerate(TENSORS):
        file_name = index["weight_map"][tensor.name]
        with safe_open(str(tmp_path / file_name), framework="torch") as opened:
            assert opened.metadata() == {"format": "pt"}
            assert (opened.get_tensor(tensor.name).float() == number).all()
            assert tuple(opened.get_tensor(tensor.name).shape) == tensor.shape
            names = list(opened.keys())
            held = sum(t.nbytes for t in TENSORS if t.name in names)
            assert held <= 80 or len(names) == 1


def test_one_shard_has_the_plain_name(tmp_path: Path) -> None:
    """A model that fits one file is ``model.safetensors``."""
    (shard,) = lay_out(TENSORS, 10_000)
    ShardFile(tmp_path, shard, now).finish()
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert (tmp_path / "model.safetensors").stat().st_size == shard.nbytes


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    """The files' modes let group and others read, whatever temporary files have."""
    (shard,) = lay_out(TENSORS, 10_000)
    ShardFile(tmp_path, shard, now).finish()
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_file_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    """Until it is finished, only the temporary name exists."""
    (shard,) = lay_out(TENSORS, 10_000)
    file = ShardFile(tmp_path, shard, now)
    (path,) = tmp_path.iterdir()
    assert path.name != "model.safetensors"
    assert path.name.endswith(".partial")
    said = [file.tensor_is_written() for _ in TENSORS]
    assert said == [False] * 5 + [True]
    file.close()


def test_two_who_write_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    """A helper may outlive its merge; the file is whole whenever it has its name."""
    (shard,) = lay_out(TENSORS, 10_000)
    older, newer = (ShardFile(tmp_path, shard, now) for _ in range(2))
    for file in (older, newer):
        for name, content in contents().items():
            file.write(name, 0, memoryview(content))
        file.finish()
        with safe_open(str(tmp_path / shard.file), framework="torch") as opened:
            for number, tensor in enumerate(TENSORS):
                assert (opened.get_tensor(tensor.name).float() == number).all()
    assert [path.name for path in tmp_path.iterdir()] == [shard.file]


def test_wide_elements_are_aligned() -> None:
    """Every tensor begins at a multiple of its element's size."""
    (shard,) = lay_out([NewTensor("h", "BF16", (3,)), NewTensor("f", "F32", (1,))], 100)
    assert shard.places["f"] % 4 == 0
    assert shard.places["h"] % 2 == 0


def test_verification_finds_bytes_that_the_disk_lost(tmp_path: Path) -> None:
    """A byte that is not what was written is found before the file gets its name."""
    (shard,) = lay_out(TENSORS, 10_000)
    for damaged in (False, True):
        file = ShardFile(tmp_path, shard, now, verify=True)
        for name, content in contents().items():
            file.write(name, 0, memoryview(content))
        if damaged:
            (path,) = tmp_path.glob("*.partial")
            with path.open("r+b") as stream:
                stream.seek(shard.places["t3"] + 1)
                stream.write(b"\x55")
            with pytest.raises(ResourceError, match="different bytes from those written"):
                file.finish()
            file.close()
        else:
            file.finish()
