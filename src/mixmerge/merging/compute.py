"""Compute one tensor of the output and hand it over piece by piece."""

from collections.abc import Callable

import numpy as np

from mixmerge.errors import ModelError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.rounding import narrow_into
from mixmerge.merging.methods.method import Method
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT
from mixmerge.merging.models.sources import StoredSource, scratch
from mixmerge.merging.planning.plan import Row
from mixmerge.merging.streaming.tensor import Spread, Tensor

Receive = Callable[[int, memoryview], None]
"""Takes finished bytes of a tensor: position of the first byte, and the bytes, which the caller
will overwrite."""

_COPIED_AT_ONCE = 1 << 20


def compute(
    row: Row, method: Method, seed: int, spread: Spread, hold: int, receive: Receive
) -> None:
    """Merge or copy one tensor.

    Args:
        row: what becomes of it.
        method: the recipe's.
        seed: of the random draws.
        spread: how to work on several pieces.
        hold: most bytes of inputs to keep in memory where they are read more than once.
        receive: called from any of the threads, in any order.

    Raises:
        ModelError: an input or the result is not finite, or a buffer differs between models.
    """
    if row.arguments is None:
        _copy(row, receive)
    elif row.output.nbytes:
        _merge(row, method, seed, spread, hold, receive)


def _merge(
    row: Row, method: Method, seed: int, spread: Spread, hold: int, receive: Receive
) -> None:
    assert row.arguments is not None
    tensor = Tensor(
        row.output.name,
        row.models,
        row.base,
        positions=row.positions,
        seed=seed,
        by_row=method.by_row,
        spread=spread,
        hold=hold,
    )
    width = BYTES_PER_ELEMENT[row.output.dtype]

    def take(start: int, merged: Array) -> None:
        raw = scratch("merged", merged.size * width)
        if not narrow_into(merged, row.output.dtype, raw):
            raise ModelError(
                f"tensor {row.output.name}: the merged values do not fit {row.output.dtype}; "
                "use smaller weights or `dtype: float32`."
            )
        receive(start * width, raw.data)

    # What overflows is found above and refused with the tensor's name.
    with np.errstate(all="ignore"):
        tensor.apply(method.merge(tensor, **row.arguments), take)


def _copy(row: Row, receive: Receive) -> None:
    """Copy a buffer that is the same in all models."""
    first, *others = [source for source in row.inputs if isinstance(source, StoredSource)]
    for start in range(0, row.output.nbytes, _COPIED_AT_ONCE):
        count = min(_COPIED_AT_ONCE, row.output.nbytes - start)
        content = first.read_bytes(start, count)
        for other in others:
            if other.read_bytes(start, count) != content:
                raise ModelError(
                    f"tensor {row.output.name}: a buffer of {row.output.dtype} that differs "
                    f"between {first.tensor.file} and {other.tensor.file}; "
                    "whole numbers are not merged."
                )
        receive(start, memoryview(content))
