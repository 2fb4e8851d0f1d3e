"""The inputs of a merge, read a piece at a time as float32 whatever they are stored as.

Everything that can be read is a `Source`: a stored tensor, a tensor with an adapter applied, or an
embedding with reordered rows.
"""

import errno
import os
import threading
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mixmerge.errors import ModelError, ResourceError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.rounding import Bits, finite_bfloat16, widen_into
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT, StoredTensor


class Source(Protocol):
    """A tensor that can be read piece by piece, from any thread."""

    name: str
    """For messages: the tensor's name and its file."""
    dtype: str
    """The type it is stored as (safetensors spelling), which decides the output's type."""
    shape: tuple[int, ...]
    """Shape as read."""
    by_row: bool
    """Whether pieces must be whole rows (of the last dimension)."""

    def read(self, start: int, out: Array) -> None:
        """Fill ``out``, float32 of shape (count,), with the elements from ``start`` on, row by row.

        Raises:
            ModelError: an element is NaN or infinite, or the file has changed.
        """
        ...


TOO_MANY = (errno.EMFILE, errno.ENFILE)


def too_many_files(path: Path) -> ResourceError:
    """Return the error for a process that cannot open another file."""
    return ResourceError(
        f"{path}: too many files are open at once. Use a larger --shard-size, so that the output "
        "has fewer files, or allow more (`ulimit -n`)."
    )


class WeightFile:
    """A weight file, read by position from any thread."""

    def __init__(self, path: Path) -> None:
        """Record the file's current state; it is opened on the first read.

        Raises:
            ModelError: the file does not exist.
        """
        self.path = path
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._seen = self._state()

    def _state(self) -> tuple[int, int, int]:
        try:
            state = self.path.stat()
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be read ({error.strerror}).") from error
        return state.st_size, state.st_mtime_ns, state.st_ino

    def read(self, start: int, buffer: memoryview) -> None:
        """Fill a buffer with the bytes from ``start`` on.

        Raises:
            ModelError: the file has become shorter, or cannot be read.
            ResourceError: too many files are open.
        """
        done = 0
        try:
            while done < len(buffer):
                count = os.preadv(self._open(), [buffer[done:]], start + done)
                if not count:
                    raise ModelError(
                        f"{self.path}: became shorter while it was read; "
                        "do not change the inputs during a merge. Merge again."
                    )
                done += count
        except OSError as error:
            if error.errno in TOO_MANY:
                raise too_many_files(self.path) from error
            raise ModelError(f"{self.path}: cannot be read ({error.strerror}).") from error

    def _open(self) -> int:
        if self._handle is None:
            with self._lock:
                if self._handle is None:
                    self._handle = os.open(self.path, os.O_RDONLY)
        return self._handle

    def check_unchanged(self) -> None:
        """Refuse a file that was modified or replaced since it was opened.

        Raises:
            ModelError: its size, modification time or inode changed.
        """
        if self._state() != self._seen:
            raise ModelError(
                f"{self.path}: changed while it was merged; do not change the inputs during a "
                "merge. Merge again."
            )

    def close(self) -> None:
        """Close the file; a later read reopens it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


_SCRATCH = threading.local()


def scratch(purpose: str, nbytes: int) -> npt.NDArray[np.uint8]:
    """Return this thread's reusable buffer for a purpose; its old content is overwritten."""
    buffers: dict[str, npt.NDArray[np.uint8]] = _SCRATCH.__dict__
    if purpose not in buffers or buffers[purpose].size < nbytes:
        buffers[purpose] = np.empty(nbytes, np.uint8)
    return buffers[purpose][:nbytes]


Bytes = npt.NDArray[np.uint8]


class StoredSource:
    """A stored tensor, converted to float32 as it is read."""

    by_row = False

    def __init__(self, tensor: StoredTensor, file: WeightFile) -> None:
        self.tensor, self.file = tensor, file
        self.name = f"{tensor.name} of {tensor.file}"
        self.dtype, self.shape = tensor.dtype, tensor.shape

    def read(self, start: int, out: Array) -> None:
        """Fill ``out`` with the elements from ``start`` on; see `Source.read`."""
        width = BYTES_PER_ELEMENT[self.dtype]
        in_place = self.dtype == "F32"
        raw = out.view(np.uint8) if in_place else scratch("stored", out.size * width)
        self.read_raw(start, raw)
        self.widen(raw, out)

    def bfloat16(self, start: int, count: int, purpose: str) -> Bits:
        """Return elements of a ``BF16`` tensor as stored, in `scratch` memory.

        Raises:
            ModelError: an element is NaN or infinite, or the file has changed.
        """
        bits = scratch(purpose, 2 * count).view(np.uint16)
        self.read_raw(start, bits.view(np.uint8))
        self.check(finite_bfloat16(bits))
        return bits

    def read_raw(self, start: int, raw: Bytes) -> None:
        """Fill ``raw`` with the bytes of the elements from ``start`` on, unchecked."""
        place = self.tensor.start + start * BYTES_PER_ELEMENT[self.dtype]
        self.file.read(place, raw.data)

    def widen(self, raw: Bytes, out: Array) -> None:
        """Convert stored elements to float32.

        Raises:
            ModelError: an element is NaN or infinite.
        """
        self.check(widen_into(raw, self.dtype, out))

    def check(self, finite: bool) -> None:
        """Refuse a tensor with elements that are not finite.

        Raises:
            ModelError: ``finite`` is false.
        """
        if not finite:
            raise ModelError(
                f"tensor {self.name}: contains NaN or infinity; "
                "this model is broken and cannot be merged."
            )

    def read_bytes(self, start: int, count: int) -> bytes:
        """Return ``count`` stored bytes of the tensor, from byte ``start`` on."""
        content = bytearray(count)
        self.file.read(self.tensor.start + start, memoryview(content))
        return bytes(content)


class HeldSource:
    """A stored tensor whose bytes stay in memory after the first read."""

    def __init__(self, source: StoredSource, memory: Bytes) -> None:
        """Hold a tensor in memory of exactly its size."""
        self._source, self._memory = source, memory
        self._width = BYTES_PER_ELEMENT[source.dtype]
        self._seen: set[int] = set()
        self.name, self.dtype, self.shape = source.name, source.dtype, source.shape
        self.by_row = source.by_row

    def read(self, start: int, out: Array) -> None:
        """Fill ``out`` with the elements from ``start`` on; see `Source.read`."""
        raw, _ = self._held(start, out.size)
        self._source.widen(raw, out)

    def bfloat16(self, start: int, count: int, purpose: str) -> Bits:  # noqa: ARG002
        """Return elements of a ``BF16`` tensor as stored."""
        raw, is_new = self._held(start, count)
        bits = raw.view(np.uint16)
        if is_new:
            self._source.check(finite_bfloat16(bits))
        return bits

    def _held(self, start: int, count: int) -> tuple[Bytes, bool]:
        """Return the bytes of some elements, and whether this is the first time.

        Later reads must use the same pieces as the first ones.
        """
        raw = self._memory[start * self._width : (start + count) * self._width]
        is_new = start not in self._seen
        if is_new:
            self._source.read_raw(start, raw)
            self._seen.add(start)
        return raw, is_new


STORED = (StoredSource, HeldSource)
"""Sources that give access to the stored bits."""
