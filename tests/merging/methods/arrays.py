"""A merge of arrays with one method."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods import METHODS
from mixmerge.merging.methods.method import Method
from mixmerge.merging.streaming.tensor import ParallelMap, Tensor

TENSOR = "model.layers.0.mlp.up_proj.weight"


class ArraySource:
    """A tensor that is already in memory."""

    def __init__(self, name: str, array: npt.ArrayLike) -> None:
        """Take an array of any shape; it is used as float32."""
        content = np.asarray(array, np.float32)
        self.name, self.dtype, self.shape, self.by_row = name, "F32", content.shape, False
        self._content = np.ascontiguousarray(content).reshape(-1)

    def read(self, start: int, out: Array) -> None:
        """Fill ``out`` with the elements from ``start`` on; see `Source.read`."""
        out[:] = self._content[start : start + out.size]


def merge_arrays(
    method: str | Method,
    models: Sequence[Array],
    base: Array | None = None,
    *,
    name: str = TENSOR,
    seed: int = 0,
    parallel_map: ParallelMap = map,
    **arguments: Any,
) -> Array:
    """Merge arrays with a method's defaults and the given arguments."""
    declared = METHODS[method] if isinstance(method, str) else method
    values: dict[str, Any] = {}
    for parameter in declared.parameters:
        default = parameter.default
        values[parameter.argument] = (default,) * len(models) if parameter.per_model else default
    tensor = Tensor(
        name,
        [ArraySource("model", model) for model in models],
        None if base is None else ArraySource("base", base),
        seed=seed,
        by_row=declared.by_row,
        parallel_map=parallel_map,
    )
    out = np.full(tensor.size, np.nan, np.float32)

    def receive(start: int, merged: Array) -> None:
        assert merged.dtype == np.float32
        assert merged.flags.c_contiguous
        out[start : start + merged.size] = merged

    with np.errstate(all="ignore"):
        tensor.apply(declared.merge(tensor, **{**values, **arguments}), receive)
    return out.reshape(tensor.shape)


def backwards(function: Callable[[range], Any], items: Iterable[range], /) -> Iterator[Any]:
    """Do the work in the opposite order, as threads might; results in order."""
    return reversed([function(item) for item in reversed(list(items))])
