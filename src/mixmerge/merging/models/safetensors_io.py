"""The headers of safetensors files, checked before any data is read.

A file is the length of its header (8 bytes, little-endian), the header (JSON with the type, shape
and position of each tensor), and the data. The header is untrusted, so all of it is checked against
the file.
"""

import math
import os
import reprlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge import json_text
from mixmerge.errors import ModelError

BYTES_PER_ELEMENT = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Sizes of the format's types; those smaller than a byte are not supported."""

TORCH_NAMES = {
    "BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64", "BOOL": "bool",
    "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
}  # fmt: skip
"""PyTorch's (and config.json's) names of the types."""

_LONGEST_HEADER = 100_000_000
"""The format's own limit."""
_LONGEST_NAME = 1000
"""Names appear in messages; longer or unprintable ones are refused."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file."""

    name: str
    dtype: str
    """As safetensors spells it, for example ``BF16``."""
    shape: tuple[int, ...]
    file: Path
    start: int
    """Offset of its first byte from the beginning of the file."""
    module: str = ""
    """Folder of the sentence-transformers module that it belongs to; empty: the model itself."""

    @cached_property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @cached_property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.size * BYTES_PER_ELEMENT[self.dtype]


def read_header(file: Path) -> list[StoredTensor]:
    """Return the tensors of a safetensors file, in the order of their data.

    Raises:
        ModelError: the file is not a valid safetensors file; the message says why.
    """
    try:
        if not file.is_file():  # opening a pipe would block
            raise ModelError(f"{file}: cannot be read (there is no such file).")
        with file.open("rb") as stream:
            total = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if total < 8 or length > min(total - 8, _LONGEST_HEADER):
                raise ModelError(f"{file}: not a safetensors file, or truncated ({total} bytes).")
            header = stream.read(length)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
    entries = _parse_header(file, header)
    notes = entries.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(text, str) for text in notes.values()):
        raise ModelError(f"{file}: __metadata__ must map names to strings.")
    tensors = [_tensor(file, name, entry, 8 + length, total) for name, entry in entries.items()]
    return _without_gaps(file, tensors, 8 + length, total)


def _parse_header(file: Path, header: bytes) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(items)
        if len(content) != len(items):
            raise ValueError("a key is given twice")
        return content

    try:
        content = json_text.parse(header.decode("utf-8"), pairs=pairs)
    except ValueError as error:
        raise ModelError(f"{file}: the header is not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: the header must be a JSON object.")
    return content


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _tensor(file: Path, name: str, entry: Any, data: int, total: int) -> StoredTensor:

    def wrong(what: str) -> ModelError:
        return ModelError(f"{file}: tensor {name!r}: {what}.")

    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise ModelError(
            f"{file}: tensor {reprlib.repr(name)}: a name must be printable and have at most "
            f"{_LONGEST_NAME} characters."
        )
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise wrong("its entry must have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES_PER_ELEMENT:
        raise wrong(f"unknown dtype {reprlib.repr(dtype)}; known: {', '.join(BYTES_PER_ELEMENT)}")
    if not _naturals(shape) or len(shape) > 64:
        raise wrong(f"the shape must be a list of integers, not {reprlib.repr(shape)}")
    if not _naturals(offsets) or len(offsets) != 2:
        raise wrong(f"data_offsets must be two integers, not {reprlib.repr(offsets)}")
    begin, end = offsets
    tensor = StoredTensor(name, dtype, tuple(shape), file, data + begin)
    if end - begin != tensor.nbytes:
        needed = tensor.nbytes if tensor.nbytes < 1 << 63 else "more than any disk holds"
        raise wrong(f"{end - begin} bytes of data for {dtype} {shape}, which needs {needed}")
    if data + end > total:
        raise wrong(f"its data ends at byte {data + end} of a file of {total} bytes")
    return tensor


def _without_gaps(
    file: Path, tensors: list[StoredTensor], data: int, total: int
) -> list[StoredTensor]:
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.nbytes))
    place = data
    for tensor in ordered:
        if tensor.start != place:
            problem = (
                "overlaps the one before" if tensor.start < place else "leaves a gap before it"
            )
            raise ModelError(f"{file}: the data of tensor {tensor.name!r} {problem}.")
        place += tensor.nbytes
    if place != total:
        raise ModelError(f"{file}: {total - place} bytes belong to no tensor.")
    return ordered


@dataclass(frozen=True)
class NewTensor:
    """A tensor that will be written."""

    name: str
    """Unique in the model; tensors of a module are called ``FOLDER/NAME``."""
    dtype: str
    shape: tuple[int, ...]
    module: str = ""
    """Folder of the sentence-transformers module that it belongs to; empty: the model itself."""

    @property
    def name_in_file(self) -> str:
        """What the file calls it: the name without its module's folder."""
        return self.name.removeprefix(f"{self.module}/")

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * BYTES_PER_ELEMENT[self.dtype]
