"""Model Stock: from the base towards the mean of the models, as far as their angles suggest."""

from itertools import combinations

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import row_products
from mixmerge.merging.methods.combine import add_up_by_row, combination, vectors
from mixmerge.merging.methods.method import Method, switch
from mixmerge.merging.streaming.tensor import Sums, Tensor, Tile, TileFunction

_SMALLEST_NORMS = 1e-6
_SMALLEST_DIVISOR = 1e-6


def merge(tensor: Tensor, *, filter_wise: bool) -> TileFunction:
    """Return b + t mean_i(x_i - b), with t = N cos / (1 + (N - 1) cos).

    cos is the mean cosine between the N task vectors: of whole tensors, or by row if
    ``filter_wise``. t may be negative; it is 0 if the divisor is.
    """
    count = tensor.count
    if not filter_wise:
        return combination([float(ratio(tensor.products(vectors))) / count] * count)

    def combine(tile: Tile) -> Array:
        deltas = vectors(tile)
        share = ratio(row_products(tile.rows(deltas))) / count
        return add_up_by_row(tile, deltas, np.broadcast_to(share[:, None], (count, share.size, 1)))

    return combine


def ratio(products: Sums) -> Sums:
    """Return t for task vectors with these inner products.

    From shape (models, models) or (models, models, rows) to shape () or (rows,).
    """
    count = len(products)
    norms = np.sqrt([products[i, i] for i in range(count)])
    cosine = np.mean(
        [
            np.clip(products[i, j] / np.maximum(norms[i] * norms[j], _SMALLEST_NORMS), -1.0, 1.0)
            for i, j in combinations(range(count), 2)
        ],
        axis=0,
    )
    divisor = 1.0 + (count - 1) * cosine
    singular = np.abs(divisor) < _SMALLEST_DIVISOR
    t: Sums = np.where(singular, 0.0, count * cosine / np.where(singular, 1.0, divisor))
    return t


METHODS = (
    Method(
        name="model_stock",
        paper="Jang et al. 2024, Model Stock, arXiv:2403.19522",
        parameters=(switch("filter_wise", False),),
        merge=merge,
        base="required",
        models=(2, None),
        by_row=True,
    ),
)
