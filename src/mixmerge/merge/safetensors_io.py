"""Safetensors files, read and written without loading them.

A file is the length of its header (8 bytes, little-endian), the header (JSON: for each tensor its
type, shape, and place in the data), and the data. A header comes from strangers, so everything it
claims is checked against the file before a byte of data is touched.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.errors import ModelError

BYTES_PER_ELEMENT = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4,
    "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Types of whole bytes that the format knows."""

_LONGEST_HEADER = 100_000_000
"""The format's own limit."""
_ALIGNMENT = 8


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file, not yet read."""

    name: str
    dtype: str
    """As safetensors spells it, for example ``BF16``."""
    shape: tuple[int, ...]
    file: Path
    start: int
    """Offset of its first byte from the beginning of the file."""

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.size * BYTES_PER_ELEMENT[self.dtype]

    def read(self, element: type[np.generic]) -> npt.NDArray[Any]:
        """Map the tensor into memory, read-only, with elements of a NumPy type of its width.

        Returns:
            The tensor with its shape; a tensor without dimensions has shape (1,).
        """
        shape = self.shape or (1,)
        if self.size == 0:
            return np.empty(shape, element)
        mapped = np.memmap(self.file, dtype=element, mode="r", offset=self.start, shape=shape)
        return mapped.view(np.ndarray)


def read_header(file: Path) -> list[StoredTensor]:
    """Return the tensors of a safetensors file, in the order of their data.

    Raises:
        ModelError: the file is not a valid safetensors file; the message says what is wrong.
    """
    try:
        with file.open("rb") as stream:
            total = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if total < 8 or length > min(total - 8, _LONGEST_HEADER):
                raise ModelError(f"{file}: not a safetensors file, or cut off ({total} bytes).")
            header = stream.read(length)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
    tensors = [
        _tensor(file, name, entry, 8 + length, total)
        for name, entry in _parse_header(file, header).items()
        if name != "__metadata__"
    ]
    return _without_gaps(file, tensors, 8 + length, total)


def _parse_header(file: Path, header: bytes) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(items)
        if len(content) != len(items):
            raise ValueError("a key is given twice")
        return content

    try:
        content = json.loads(header.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: the header is not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: the header must be a JSON object.")
    return content


def _natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(_natural(item) for item in value)


def _tensor(file: Path, name: str, entry: Any, data: int, total: int) -> StoredTensor:
    """Check what a header says of one tensor."""

    def wrong(what: str) -> ModelError:
        return ModelError(f"{file}: tensor {name!r}: {what}.")

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise wrong("its entry must have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BYTES_PER_ELEMENT:
        raise wrong(f"unknown dtype {dtype!r}; known: {', '.join(BYTES_PER_ELEMENT)}")
    if not _naturals(shape) or len(shape) > 64:
        raise wrong(f"the shape must be a list of whole numbers, not {shape!r}")
    if not _naturals(offsets) or len(offsets) != 2:
        raise wrong(f"data_offsets must be two whole numbers, not {offsets!r}")
    begin, end = offsets
    tensor = StoredTensor(name, dtype, tuple(shape), file, data + begin)
    if end - begin != tensor.nbytes:
        raise wrong(f"{end - begin} bytes of data for {dtype} {shape}, which needs {tensor.nbytes}")
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
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return math.prod(self.shape) * BYTES_PER_ELEMENT[self.dtype]


class ShardedWriter:
    """Writes a model's safetensors files as ``save_pretrained`` names and indexes them.

    The layout is settled before the first tensor arrives; then each is written straight into its
    place, in any order and from any thread.
    """

    def __init__(self, folder: Path, tensors: Sequence[NewTensor], shard_size: int) -> None:
        """Create the files with their headers, and the index where there are several.

        Args:
            folder: an existing folder.
            tensors: what will be written, in the order of the shards.
            shard_size: most bytes of data per file; a larger tensor has a file of its own.

        Raises:
            OSError: for example when the disk is full.
        """
        shards = _shards(tensors, shard_size)
        self._places: dict[str, tuple[Path, int]] = {}
        for number, shard in enumerate(shards, 1):
            one = "model.safetensors"
            several = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
            self._create(folder / (one if len(shards) == 1 else several), shard)
        if len(shards) > 1:
            self._write_index(folder, tensors)

    def _create(self, file: Path, shard: Sequence[NewTensor]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        place = 0
        # Wide elements first: then every tensor is aligned to its element.
        for tensor in sorted(shard, key=lambda tensor: -BYTES_PER_ELEMENT[tensor.dtype]):
            header[tensor.name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [place, place + tensor.nbytes],
            }
            place += tensor.nbytes
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        for tensor in shard:
            begin = header[tensor.name]["data_offsets"][0]
            self._places[tensor.name] = (file, 8 + len(text) + begin)
        with file.open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            stream.truncate(8 + len(text) + place)

    def _write_index(self, folder: Path, tensors: Sequence[NewTensor]) -> None:
        index = {
            "metadata": {
                "total_parameters": sum(math.prod(tensor.shape) for tensor in tensors),
                "total_size": sum(tensor.nbytes for tensor in tensors),
            },
            "weight_map": {tensor.name: self._places[tensor.name][0].name for tensor in tensors},
        }
        text = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")

    def write(self, name: str, stored: npt.NDArray[Any]) -> None:
        """Write a tensor's elements into their place."""
        file, place = self._places[name]
        content = np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data
        with file.open("r+b", buffering=0) as stream:
            stream.seek(place)
            while content:
                content = content[stream.write(content) :]


def _shards(tensors: Sequence[NewTensor], shard_size: int) -> list[list[NewTensor]]:
    shards: list[list[NewTensor]] = [[]]
    filled = 0
    for tensor in tensors:
        if shards[-1] and filled + tensor.nbytes > shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.nbytes
    return shards
