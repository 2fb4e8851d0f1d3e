"""Multi-SLERP: the spherical mean of any number of models, or of their task vectors."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.errors import ModelError
from mixmerge.merging.kernels.interpolate import length
from mixmerge.merging.methods.method import Arguments, Method, number, switch, zero_weight_sum
from mixmerge.merging.methods.span import combination, vectors
from mixmerge.merging.streaming.tensor import Tensor, TileFunction

_ROUNDING = 1e-7
"""Directions of float32 vectors are not known better than this."""


def merge(
    tensor: Tensor, *, weight: Sequence[float], normalize_weights: bool, eps: float
) -> TileFunction:
    """Return sum_i w_i |v_i| times the direction of m = sum_i w_i v_i / (|v_i| + eps).

    v_i is a model or, with a base, its difference from it; ``normalize_weights`` divides the
    weights by their sum first. The article and mergekit then walk from m, on the sphere, along
    the weighted mean of the tangents towards each v_i. Since m is their weighted mean already,
    that mean is zero, for any weights, and there is no step to take.

    Raises:
        ModelError: the directions of more than two models cancel out, so that m has none. Two such
            models, and vectors shorter than ``eps``, are averaged linearly.
    """
    if tensor.count == 1:
        return lambda tile: tile.models[0]
    total = math.fsum(weight) if normalize_weights else 1.0
    weights = np.asarray(weight, np.float64) / total
    products = tensor.products(vectors)
    norms = np.sqrt(np.diag(products))
    towards = np.divide(weights, norms + eps, out=np.zeros_like(norms), where=norms + eps > 0)
    mean = length(towards, products)
    longest = float(np.abs(towards) @ norms)
    if mean > max(eps, _ROUNDING * longest):
        return combination(towards * (weights @ norms / mean))
    if tensor.count > 2 and longest > eps:
        raise ModelError(
            f"tensor {tensor.name}: the models' directions cancel out under these weights, "
            "so multislerp has no mean; use other weights or another method for this tensor."
        )
    return combination(weights)


def _problem(arguments: Arguments) -> str | None:
    return zero_weight_sum({**arguments, "normalize": arguments["normalize_weights"]})


METHOD = Method(
    name="multislerp",
    paper="Goddard 2025, goddard.blog/posts/multislerp-wow-what-a-cool-idea",
    parameters=(
        number("weight", per_model=True),
        switch("normalize_weights", True),
        number("eps", 1e-8, bounds=(0.0, 1.0)),
    ),
    merge=merge,
    base="optional",
    problem=_problem,
)
