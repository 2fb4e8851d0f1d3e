"""Between the types in which weights are stored and float32.

NumPy has no bfloat16; its bits are the upper half of a float32's, so they travel as uint16.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

STORED: dict[str, type[np.generic]] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
"""The types that can be merged (safetensors spelling), and the NumPy type that holds them."""

# Of float32, as bits: magnitudes are ordered as their bits are, NaN above infinity.
_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_INFINITY = np.uint32(0x7F80_0000)
_ROUNDS_TO_INFINITY = np.uint32(0x7F7F_8000)
"""In bfloat16: half a unit above its largest number."""


def widen_into(raw: npt.NDArray[np.uint8], dtype: str, out: Array) -> bool:
    """Write stored weights as float32, which is exact for each type of `STORED`.

    Args:
        raw: the stored bytes; for ``F32`` they may be those of ``out`` itself.
        dtype: a key of `STORED`.
        out: float32, shape (count,).

    Returns:
        Whether all of them are finite.
    """
    stored = raw.view(STORED[dtype])
    if dtype == "BF16":
        return _widen_bfloat16(stored, out)
    if stored.ctypes.data != out.ctypes.data:
        out[:] = stored
    return _all_finite(out)


def narrow_into(values: Array, dtype: str, raw: npt.NDArray[np.uint8]) -> bool:
    """Round float32 values to a type of `STORED`, to nearest, ties to even.

    Args:
        values: float32, shape (count,), contiguous.
        dtype: a key of `STORED`.
        raw: the bytes to write; as many as the values need.

    Returns:
        Whether all results are finite: what is beyond the type's largest number is not.
    """
    stored: npt.NDArray[Any] = raw.view(STORED[dtype])
    if dtype == "BF16":
        return _narrow_bfloat16(values, stored)
    with np.errstate(over="ignore"):
        stored[:] = values
    if dtype == "F16":
        return not bool(np.any((stored.view(np.uint16) & 0x7C00) == 0x7C00))
    return _all_finite(stored)


@kernel("boolean(uint16[::1], float32[::1])")
def _widen_bfloat16(stored: npt.NDArray[np.uint16], out: Array) -> bool:
    bits = out.view(np.uint32)
    largest = np.uint32(0)
    for i in range(stored.size):
        bits[i] = np.uint32(stored[i]) << np.uint32(16)
        largest = max(largest, bits[i] & _MAGNITUDE)
    return bool(largest < _INFINITY)


@kernel("boolean(float32[::1], uint16[::1])")
def _narrow_bfloat16(values: Array, stored: npt.NDArray[np.uint16]) -> bool:
    bits = values.view(np.uint32)
    largest = np.uint32(0)
    for i in range(bits.size):
        # Adding just under half a unit, plus one where the kept part is odd, carries into the
        # kept half exactly when rounding to even goes up.
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        stored[i] = np.uint16((bits[i] + np.uint32(0x7FFF) + odd) >> np.uint32(16))
        largest = max(largest, bits[i] & _MAGNITUDE)
    return bool(largest < _ROUNDS_TO_INFINITY)


@kernel("boolean(float32[::1])")
def _all_finite(values: Array) -> bool:
    bits = values.view(np.uint32)
    largest = np.uint32(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & _MAGNITUDE)
    return bool(largest < _INFINITY)
