"""The files of the output: laid out before a byte is written, each whole or absent."""

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
    """Its name, as `save_pretrained` would choose it."""
    header: bytes
    """Everything before the data."""
    places: dict[str, int]
    """For each tensor the position of its first byte in the file."""
    nbytes: int
    """Size of the file."""

    @property
    def data(self) -> int:
        """Bytes of tensors."""
        return self.nbytes - len(self.header)


def lay_out(tensors: Sequence[NewTensor], shard_size: int) -> list[Shard]:
    """Divide tensors into files of at most so many bytes; a larger tensor has one of its own.

    Modules beside the model have a file each, in the folder that stands before their names.
    """
    beside: dict[str, list[NewTensor]] = {}
    for tensor in tensors:
        beside.setdefault(tensor.name.rpartition("/")[0], []).append(tensor)
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
    return [_shard(file, group) for file, group in named]


def needs_index(shards: Sequence[Shard]) -> bool:
    """Say whether the model's own weights lie in several files."""
    return all(shard.file != WEIGHTS for shard in shards)


def _shard(file: str, tensors: Sequence[NewTensor]) -> Shard:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    # Wide elements first: then every tensor is aligned to its element.
    for tensor in sorted(tensors, key=lambda tensor: -BYTES_PER_ELEMENT[tensor.dtype]):
        header[tensor.name.rpartition("/")[2]] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    start = 8 + len(text)
    places = {
        tensor.name: start + header[tensor.name.rpartition("/")[2]]["data_offsets"][0]
        for tensor in tensors
    }
    return Shard(file, len(text).to_bytes(8, "little") + text, places, start + offset)


def index_text(tensors: Sequence[NewTensor], shards: Sequence[Shard]) -> str:
    """Return the index that says which tensor is in which file."""
    own = [tensor for tensor in tensors if "/" not in tensor.name]
    index = {
        "metadata": {
            "total_parameters": sum(math.prod(tensor.shape) for tensor in own),
            "total_size": sum(tensor.nbytes for tensor in own),
        },
        "weight_map": {
            name: shard.file for shard in shards for name in shard.places if "/" not in name
        },
    }
    return json.dumps(index, indent=2, ensure_ascii=False) + "\n"


class ShardFile:
    """A file of the output while it is written: any piece, in any order, from any thread."""

    def __init__(
        self, folder: Path, shard: Shard, later: Callable[..., object], *, verify: bool = False
    ) -> None:
        """Create the file at its full size under a temporary name.

        What takes long is done by ``later``, in the background. ``verify``: before the file counts,
        what the disk holds is compared with what was written.

        Raises:
            ResourceError: too many files are open.
            OSError: for example when the disk is full.
        """
        self.shard = shard
        self._target = folder / shard.file
        # A helper that outlived its merge may still write the same file: each writes its own copy.
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
        """Write bytes of a tensor from its byte ``start`` on."""
        self._write(content, self.shard.places[tensor] + start)
        with self._lock:
            before = self._written
            self._written += len(content)
            due = before // _SYNC_EVERY < self._written // _SYNC_EVERY
        if due:
            # What reaches the disk while the rest is computed need not be waited for at the end.
            self._later(os.fdatasync, self._handle)

    def _write(self, content: bytes | memoryview, place: int) -> None:
        view = memoryview(content)
        if self._sums is not None:
            self._sums[place] = len(view), zlib.crc32(view)
        while view:
            count = os.pwrite(self._handle, view, place)
            view, place = view[count:], place + count

    def tensor_is_written(self) -> bool:
        """Note that a tensor is complete; return whether the file now is."""
        with self._lock:
            self._missing -= 1
            return self._missing == 0

    def finish(self) -> None:
        """Flush the file to the disk and give it its name.

        Raises:
            ResourceError: the disk does not hold what was written.
        """
        os.fsync(self._handle)
        if self._sums is not None:
            self._compare(self._sums)
        self.close()
        self._partial.rename(self._target)

    def close(self) -> None:
        """Close the file, whole or not."""
        self._file.close()

    def _compare(self, sums: dict[int, tuple[int, int]]) -> None:
        # The disk is asked, not the page cache.
        os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_DONTNEED)
        seen = 0
        for place in sorted(sums):
            length, checksum = sums[place]
            if place != seen or zlib.crc32(os.pread(self._handle, length, place)) != checksum:
                raise ResourceError(
                    f"{self._target}: the disk returned other bytes than were written, near byte "
                    f"{place}; check the disk and merge again."
                )
            seen += length
