"""Conversion between the stored types of weights and float32.

NumPy has no bfloat16; its bits are the upper half of a float32's, so it is handled as uint16.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, kernel

Bits = npt.NDArray[np.uint16]
"""Stored 16-bit numbers."""

STORED: dict[str, type[np.generic]] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
"""The types that can be merged (safetensors spelling), and the NumPy type that holds them."""

# Bit patterns of float32 magnitudes, which are ordered like the numbers; NaN is above infinity.
_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_INFINITY = np.uint32(0x7F80_0000)
_BFLOAT16_ENDS, _FLOAT16_ENDS = np.uint32(0x7F7F_8000), np.uint32(0x477F_F000)
"""Half a unit above the largest numbers: from here on values round to infinity."""
_FLOAT16_NORMAL = np.uint32(0x3880_0000)
"""The smallest normal float16 number: 2^-14."""

_BLOCK = 512


def widen_into(raw: npt.NDArray[np.uint8], dtype: str, out: Array) -> bool:
    """Convert stored weights to float32, exactly, for each type in `STORED`.

    Returns whether all of them are finite. For ``F32``, ``raw`` may be the memory of ``out``.
    """
    stored = raw.view(STORED[dtype])
    if dtype == "BF16":
        return _widen_bfloat16(stored, out)
    if dtype == "F16":
        return _widen_float16(stored.view(np.uint16), out)
    if stored.ctypes.data != out.ctypes.data:
        out[:] = stored
    return _all_finite(out)


def narrow_into(values: Array, dtype: str, raw: npt.NDArray[np.uint8]) -> bool:
    """Round float32 values to a type in `STORED`, to nearest, ties to even.

    Returns whether all results are finite; values beyond the type's largest number are not.
    """
    stored: npt.NDArray[Any] = raw.view(STORED[dtype])
    if dtype == "BF16":
        return _narrow_bfloat16(values, stored)
    if dtype == "F16":
        return _narrow_float16(values, stored.view(np.uint16), np.empty(_BLOCK, np.float32))
    stored[:] = values
    return _all_finite(stored)


@kernel("boolean(uint16[::1])")
def finite_bfloat16(stored: Bits) -> bool:
    """Return whether all stored bfloat16 numbers are finite; shape (count,)."""
    largest = np.uint16(0)
    for i in range(stored.size):
        largest = max(largest, np.uint16(stored[i] & np.uint16(0x7FFF)))
    return bool(largest < np.uint16(0x7F80))


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
        # Round to nearest even: adding just under half a unit, plus one if the kept part is odd,
        # carries into the kept half exactly when the number must be rounded up.
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        stored[i] = np.uint16((bits[i] + np.uint32(0x7FFF) + odd) >> np.uint32(16))
        largest = max(largest, bits[i] & _MAGNITUDE)
    return bool(largest < _BFLOAT16_ENDS)


@kernel("boolean(float32[::1])")
def _all_finite(values: Array) -> bool:
    bits = values.view(np.uint32)
    largest = np.uint32(0)
    for i in range(bits.size):
        largest = max(largest, bits[i] & _MAGNITUDE)
    return bool(largest < _INFINITY)


@kernel("boolean(uint16[::1], float32[::1])")
def _widen_float16(stored: npt.NDArray[np.uint16], out: Array) -> bool:
    # A float16's bits shifted into a float32 give a number 2^112 times too small (bias 127 - 15);
    # multiplying corrects this exactly, including denormal numbers.
    bits = out.view(np.uint32)
    largest = np.uint16(0)
    for i in range(stored.size):
        sign = np.uint32(stored[i] & np.uint16(0x8000)) << np.uint32(16)
        bits[i] = sign | (np.uint32(stored[i] & np.uint16(0x7FFF)) << np.uint32(13))
        largest = max(largest, np.uint16(stored[i] & np.uint16(0x7FFF)))
    for i in range(out.size):
        out[i] *= np.float32(2.0**112)
    return bool(largest < np.uint16(0x7C00))


@kernel("boolean(float32[::1], uint16[::1], float32[::1])")
def _narrow_float16(values: Array, stored: npt.NDArray[np.uint16], shifted: Array) -> bool:
    largest = np.uint32(0)
    for start in range(0, values.size, _BLOCK):
        block = values[start : start + _BLOCK]
        bits = block.view(np.uint32)
        out = stored[start : start + _BLOCK]
        # The last bit of 0.5 is worth one float16 denormal, so adding 0.5 rounds to denormals.
        for i in range(block.size):
            shifted[i] = abs(block[i]) + np.float32(0.5)
        denormal = shifted.view(np.uint32)
        for i in range(block.size):
            magnitude = bits[i] & _MAGNITUDE
            largest = max(largest, magnitude)
            odd = (magnitude >> np.uint32(13)) & np.uint32(1)
            rounded = (magnitude + np.uint32(0xFFF) + odd) >> np.uint32(13)
            rounded -= np.uint32(112 << 10)
            if magnitude < _FLOAT16_NORMAL:
                rounded = denormal[i] - np.uint32(0x3F00_0000)
            out[i] = np.uint16(rounded | ((bits[i] >> np.uint32(16)) & np.uint32(0x8000)))
    return bool(largest < _FLOAT16_ENDS)
