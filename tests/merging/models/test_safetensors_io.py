"""Safetensors files: what is read, what is refused, what is written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.errors import ModelError
from mixmerge.merging.models.safetensors_io import read_header

ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(file: Path, header: Any, data: bytes = b"\0" * 8, length: int | None = None) -> Path:
    """Write a file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    file.write_bytes(size.to_bytes(8, "little") + text + data)
    return file


def test_a_tensor_may_lie_at_any_offset(tmp_path: Path) -> None:
    """Data need not be aligned, and a tensor may have no dimension or no element."""
    header = {
        "odd": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "scalar": {"dtype": "F32", "shape": [], "data_offsets": [1, 5]},
        "empty": {"dtype": "F32", "shape": [0, 3], "data_offsets": [5, 5]},
    }
    file = write(tmp_path / "a.safetensors", header, b"\7" + np.float32(2.5).tobytes())
    odd, scalar, empty = read_header(file)
    content = file.read_bytes()
    assert content[odd.start : odd.start + odd.nbytes] == b"\7"
    assert np.frombuffer(content, np.float32, 1, scalar.start).tolist() == [2.5]
    assert (empty.shape, empty.nbytes) == ((0, 3), 0)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{", b"", "not valid JSON"),
        (b"[]", b"", "JSON object"),
        (b"\xff{}", b"", "not valid JSON"),
        (b"[" * 100_000, b"", "not valid JSON"),
        (b'{"a":1,"a":2}', b"", "given twice"),
        ({"a": 3}, b"", "must have dtype"),
        ({"a": {**ENTRY, "extra": 1}}, b"\0" * 8, "must have dtype"),
        ({"a": {**ENTRY, "dtype": "F4"}}, b"\0" * 8, "unknown dtype 'F4'"),
        ({"a": {**ENTRY, "dtype": ["F32"]}}, b"\0" * 8, "unknown dtype"),
        ({"a": {**ENTRY, "shape": [-2]}}, b"\0" * 8, "integers"),
        ({"a": {**ENTRY, "shape": [2.0]}}, b"\0" * 8, "integers"),
        ({"a": {**ENTRY, "shape": [True, 2]}}, b"\0" * 8, "integers"),
        ({"a": {**ENTRY, "shape": [2**62, 2**62]}}, b"\0" * 8, "which needs"),
        ({"a": {**ENTRY, "data_offsets": [0]}}, b"\0" * 8, "two integers"),
        ({"a": {**ENTRY, "data_offsets": [8, 0]}}, b"\0" * 8, "which needs 8"),
        ({"a": {**ENTRY, "data_offsets": [0, 4]}}, b"\0" * 8, "4 bytes of data"),
        ({"a": ENTRY}, b"\0" * 7, "ends at byte"),
        ({"a": ENTRY}, b"\0" * 9, "1 bytes belong to no tensor"),
        ({"a": ENTRY, "b": ENTRY}, b"\0" * 8, "'b' overlaps"),
        ({"a": {**ENTRY, "data_offsets": [4, 12]}}, b"\0" * 12, "'a' leaves a gap"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    """The message names the file and what is wrong."""
    file = write(tmp_path / "a.safetensors", header, data)
    with pytest.raises(ModelError, match=rf"a\.safetensors: .*{message}"):
        read_header(file)


@pytest.mark.parametrize("length", [9, 2**63, 2**64 - 1])
def test_a_header_beyond_the_file_is_refused(tmp_path: Path, length: int) -> None:
    """No more is read or allocated than the file has."""
    with pytest.raises(ModelError, match="not a safetensors file, or truncated"):
        read_header(write(tmp_path / "a.safetensors", b"{}", b"", length))


def test_a_file_of_a_few_bytes_is_refused(tmp_path: Path) -> None:
    """A file too short for the length of its header is not a safetensors file."""
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    with pytest.raises(ModelError, match="truncated"):
        read_header(tmp_path / "a.safetensors")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any change of any byte gives tensors within the file or a clear error, nothing else."""
    header = {"a": ENTRY, "b": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [8, 12]}}
    text = json.dumps(header).encode()
    content = bytearray(len(text).to_bytes(8, "little") + text + b"\1" * 12)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        tensors = read_header(file)
    except ModelError:
        return
    assert all(tensor.start + tensor.nbytes <= file.stat().st_size for tensor in tensors)
