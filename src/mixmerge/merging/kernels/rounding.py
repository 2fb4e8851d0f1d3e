"""Between the types in which weights are stored and float32.

NumPy has no bfloat16; its bits are the upper half of a float32's, so they travel as uint16.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, kernel

Bits = npt.NDArray[np.uint16]
"""Numbers as they are stored in 16 bits."""

STORED: dict[str, type[np.generic]] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
"""The types that can be merged (safetensors spelling), and the NumPy type that holds them."""

# Of float32, as bits: magnitudes are ordered as their bits are, NaN above infinity.
_MAGNITUDE = np.uint32(0x7FFF_FFFF)
_INFINITY = np.uint32(0x7F80_0000)
_BFLOAT16_ENDS, _FLOAT16_ENDS = np.uint32(0x7F7F_8000), np.uint32(0x477F_F000)
"""Half a unit above the types' largest numbers, from where on numbers round to infinity."""
_FLOAT16_NORMAL = np.uint32(0x3880_0000)
"""The smallest float16 number with all digits: 2^-14."""

_BLOCK = 512


def widen_into(raw: npt.NDArray[np.uint8], dtype: str, out: Array) -> bool:
    """Write stored weights as float32, which is exact for each type of `STORED`.

    Returns whether all of them are finite. The bytes of ``F32`` may be those of ``out`` itself.
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
    """Round float32 values to a type of `STORED`, to nearest, ties to even.

    Returns whether all results are finite: what is beyond the type's largest number is not.
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
    """Return whether all numbers stored in bfloat16 are finite; shape (count,)."""
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
        # Adding just under half a unit, plus one where the kept part is odd, carries into the
        # kept half exactly when rounding to even goes up.
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
    # In the places of a float32's exponent and fraction, a float16 is 2^112 times too small.
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
        # One half has the unit of float16's denormal numbers, so adding it rounds to them.
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
