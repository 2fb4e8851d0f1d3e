"""Between the types in which weights are stored and float32.

NumPy has no bfloat16; its bits are the upper half of a float32's, so they travel as uint16.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array

STORED: dict[str, type[np.generic]] = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32}
"""The types that can be merged (safetensors spelling), and the NumPy type that holds them."""

_EXPONENT = np.uint16(0x7F80)
_QUIET_NAN = np.uint16(0x7FC0)


def widen(stored: npt.NDArray[Any], dtype: str) -> Array:
    """Return stored weights of any shape as float32; exact for each type of `STORED`."""
    if dtype == "BF16":
        return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return stored.astype(np.float32)


def narrow(values: Array, dtype: str) -> npt.NDArray[Any]:
    """Round float32 values of any shape to a type of `STORED`, to nearest, ties to even.

    What is beyond the largest number of the type becomes infinite; see `all_finite`.
    """
    if dtype == "BF16":
        return _to_bfloat16(values)
    return values.astype(STORED[dtype])


def _to_bfloat16(values: Array) -> npt.NDArray[np.uint16]:
    bits = np.ascontiguousarray(values).view(np.uint32)
    # Adding just under half a unit, plus one where the kept part is odd, carries into the kept
    # half exactly when rounding to even goes up.
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
    rounded[np.isnan(values)] = _QUIET_NAN
    return rounded


def all_finite(stored: npt.NDArray[Any], dtype: str) -> bool:
    """Say whether stored weights hold neither NaN nor infinity."""
    if dtype == "BF16":
        return not bool(np.any((stored & _EXPONENT) == _EXPONENT))
    return bool(np.all(np.isfinite(stored)))


def widen_into(raw: npt.NDArray[np.uint8], dtype: str, out: Array) -> bool:
    """Write stored weights as float32 into ``out``; return whether all are finite."""
    stored = raw.view(STORED[dtype])
    out[:] = widen(stored, dtype)
    return all_finite(stored, dtype)
