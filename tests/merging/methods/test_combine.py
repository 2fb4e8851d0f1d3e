"""What methods share."""

import pytest
from tests.merging.methods.arrays import ArraySource

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.combine import restored
from mixmerge.merging.streaming.tensor import Tensor, Tile


@pytest.mark.parametrize(
    ("model", "factor"), [([2.0, 4.0], 3.0), ([0.0, 6.0], 1.0), ([2e-8, 3e-8], 1.0)]
)
def test_the_norm_comes_back_where_there_is_one(model: list[float], factor: float) -> None:
    """The factor is the ratio of the norms, and 1 where one of them is all but zero."""

    def keep_the_first(deltas: Array, _: Tile) -> None:
        deltas[:, 1:] = 0

    tensor = Tensor("w", [ArraySource("model", model)], ArraySource("base", [0.0, 0.0]))
    assert restored(tensor, keep_the_first, [0.5]).tolist() == [0.5 * factor]
