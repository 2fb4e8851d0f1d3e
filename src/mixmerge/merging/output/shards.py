"""The weight files of the output: laid out in advance, each appearing complete or not at all."""

import json
import math
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.errors import ResourceError
from mixmerge.files import PARTIAL
from mixmerge.merging.models.donor_files import WEIGHTS
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT, NewTensor
from mixmerge.merging.models.sources import TOO_MANY, too_many_files

INDEX = "model.safetensors.index.json"
_ALIGNMENT = 8
_SYNC_EVERY = 1 << 27


@dataclass(frozen=True)
class Shard:
    """One safetensors file of the output."""

    file: str
    """Its path, as `save_pretrained` names files."""
    header: bytes
    """Everything before the data."""
    places: dict[str, int]
    """Offset of each tensor's first byte in the file."""
    nbytes: int
    """Size of the file."""

    @property
    def data(self) -> int:
        """Bytes of tensors."""
        return self.nbytes - len(self.header)


def lay_out(tensors: Sequence[NewTensor], shard_size: int) -> list[Shard]:
    """Divide tensors into files of at most ``shard_size`` bytes; a larger tensor gets its own.

    Each sentence-transformers module has a file of its own, in its folder.
    """
    beside: dict[str, list[NewTensor]] = {}
    for tensor in tensors:
        beside.setdefault(tensor.module, []).append(tensor)
    groups: list[list[NewTensor]] = [[]]
    filled = 0
    for tensor in beside.pop("", []):
        if groups[-1] and filled + tensor.nbytes > shard_size:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += tensor.nbytes
    files = [f"model-{at:05d}-of-{len(groups):05d}.safetensors" for at in range(1, len(groups) + 1)]
    named = [*zip(files if groups[1:] else [WEIGHTS], groups, strict=True)]
    named += [(f"{folder}/{WEIGHTS}", group) for folder, group in beside.items()]
    return [shard(file, group) for file, group in named]


def needs_index(shards: Sequence[Shard]) -> bool:
    """Whether the model's own weights are in several files."""
    return all(shard.file != WEIGHTS for shard in shards)


def shard(file: str, tensors: Sequence[NewTensor]) -> Shard:
    """Lay out one file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    # Widest types first, so that every tensor is aligned to its element size.
    for tensor in sorted(tensors, key=lambda tensor: -BYTES_PER_ELEMENT[tensor.dtype]):
        header[tensor.name_in_file] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    start = 8 + len(text)
    places = {
        tensor.name: start + header[tensor.name_in_file]["data_offsets"][0] for tensor in tensors
    }
    return Shard(file, len(text).to_bytes(8, "little") + text, places, start + offset)


def index_text(tensors: Sequence[NewTensor], shards: Sequence[Shard]) -> str:
    """Return the index of which tensor is in which file."""
    own = {tensor.name: tensor for tensor in tensors if not tensor.module}
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(tensor.shape) for tensor in own.values()),
            "total_size": sum(tensor.nbytes for tensor in own.values()),
        },
        "weight_map": {
            name: shard.file for shard in shards for name in shard.places if name in own
        },
    }
    return json.dumps(index, indent=2, ensure_ascii=False) + "\n"


class ShardFile:
    """An output file being written: any piece, in any order, from any thread."""

    def __init__(
        self, folder: Path, shard: Shard, later: Callable[..., object], *, verify: bool = False
    ) -> None:
        """Create the file at its full size under a temporary name.

        ``later`` runs slow work in the background. With ``verify``, the content on disk is compared
        with what was written before the file gets its name.

        Raises:
            ResourceError: too many files are open.
            OSError: for example if the disk is full.
        """
        self.shard = shard
        self._target = folder / shard.file
        # Random suffix: a helper that outlived its merge may still be writing the same shard.
        self._partial = folder / f"{shard.file}.{os.urandom(4).hex()}{PARTIAL}"
        self._later = later
        self._lock = threading.Lock()
        self._missing = len(shard.places)
        self._written = 0
        self._sums: dict[int, tuple[int, int]] | None = {} if verify else None
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self._partial.open("w+b", buffering=0)
        except OSError as error:
            if error.errno in TOO_MANY:
                raise too_many_files(self._partial) from error
            raise
        self._handle = self._file.fileno()
        os.truncate(self._handle, shard.nbytes)
        self._write(shard.header, 0)

    def write(self, tensor: str, start: int, content: memoryview) -> None:
        """Write bytes of a tensor at its byte ``start``."""
        self._write(content, self.shard.places[tensor] + start)
        with self._lock:
            before = self._written
            self._written += len(content)
            due = before // _SYNC_EVERY < self._written // _SYNC_EVERY
        if due:
            # Flush while the rest is computed, so that the final fsync has little left to do.
            self._later(os.fdatasync, self._handle)

    def _write(self, content: bytes | memoryview, place: int) -> None:
        view = memoryview(content)
        if self._sums is not None:
            self._sums[place] = len(view), zlib.crc32(view)
        while view:
            count = os.pwrite(self._handle, view, place)
            view, place = view[count:], place + count

    def tensor_is_written(self) -> bool:
        """Record that a tensor is complete; return whether the file now is."""
        with self._lock:
            self._missing -= 1
            return self._missing == 0

    def finish(self) -> None:
        """Flush the file to disk and give it its final name.

        Raises:
            ResourceError: the content on disk is not what was written.
        """
        os.fsync(self._handle)
        if self._sums is not None:
            self._compare(self._sums)
        self.close()
        self._partial.rename(self._target)

    def close(self) -> None:
        """Close the file, complete or not."""
        self._file.close()

    def _compare(self, sums: dict[int, tuple[int, int]]) -> None:
        # Drop the page cache, so that reads come from the disk.
        os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)
        seen = 0
        for place in sorted(sums):
            length, checksum = sums[place]
            if place != seen or zlib.crc32(os.pread(self._handle, length, place)) != checksum:
                raise ResourceError(
                    f"{self._target}: the disk returned different bytes from those written, near "
                    f"byte {place}; check the disk and merge again."
                )
            seen += length
