"""Means on the sphere of any number of models: Multi-SLERP and the Karcher mean."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.errors import ModelError
from mixmerge.merging.kernels.linear_algebra import length
from mixmerge.merging.methods.combine import combination, vectors
from mixmerge.merging.methods.method import Arguments, Method, number, switch, zero_weight_sum
from mixmerge.merging.streaming.tensor import Sums, Tensor, TileFunction

_ROUNDING = 1e-7
"""Accuracy of directions of float32 vectors."""


def multislerp(
    tensor: Tensor, *, weight: Sequence[float], normalize_weights: bool, eps: float
) -> TileFunction:
    """Return sum_i w_i |v_i| times the direction of m = sum_i w_i v_i / (|v_i| + eps).

    v_i is a model or, with a base, its difference from it; ``normalize_weights`` first divides the
    weights by their sum. The article and mergekit then walk from m, on the sphere, along the
    weighted mean of the tangents towards each v_i. Since m is already their weighted mean, that
    tangent is zero for any weights, so there is no step to take.

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


def karcher(tensor: Tensor, *, max_iter: float, tol: float) -> TileFunction:
    """Return the Karcher mean of the models' directions, times the mean of their norms.

    From the mean direction, each step follows the great circle along the mean of the tangents
    towards the models, until a step is at most ``tol`` long or after ``max_iter`` steps. Models
    whose norm is at most ``tol`` have no direction and only count in the mean norm.
    """
    if tensor.count == 1:
        return lambda tile: tile.models[0]
    products = tensor.products(lambda tile: tile.models)
    norms = np.sqrt(np.diag(products))
    directed = norms > tol
    shares = np.zeros_like(norms)
    if directed.any():
        units = norms[directed]
        cosines = products[np.ix_(directed, directed)] / np.outer(units, units)
        mean = karcher_mean(np.clip(cosines, -1.0, 1.0), int(max_iter), tol)
        shares[directed] = mean / units * norms.mean()
    return combination(shares)


def karcher_mean(cosines: Sums, max_iter: int, tol: float) -> Sums:
    """Return the weights of the Karcher mean of unit vectors after at most ``max_iter`` steps.

    From the cosines between them, shape (vectors, vectors), to weights, shape (vectors,). A vector
    that is opposite or equal to the mean has no tangent there and is ignored in that step. Step
    lengths and sines up to ``tol`` count as zero.
    """
    # The mean is kept as weights of the vectors, so every step only needs their cosines.
    count = len(cosines)
    mean = np.full(count, 1.0 / count)
    if length(mean, cosines) <= tol:
        mean = np.eye(count)[0]
    mean /= length(mean, cosines)
    for _ in range(max_iter):
        towards = np.clip(cosines @ mean, -1.0, 1.0)
        angles = np.arccos(towards)
        sines = np.sin(angles)
        pulls = np.divide(angles, sines, out=np.zeros(count), where=sines > tol) / count
        step = pulls - (pulls @ towards) * mean
        size = length(step, cosines)
        if size <= tol:
            break
        mean = math.cos(size) * mean + math.sin(size) / size * step
        mean /= length(mean, cosines)
    return mean


def _problem_of_karcher(arguments: Arguments) -> str | None:
    steps = arguments["max_iter"]
    whole = isinstance(steps, (int, float)) and steps == int(steps)
    return None if whole else f"`max_iter` must be a whole number, not {steps!r}"


METHODS = (
    Method(
        name="multislerp",
        paper="Goddard 2025, goddard.blog/posts/multislerp-wow-what-a-cool-idea",
        parameters=(
            number("weight", per_model=True),
            switch("normalize_weights", True),
            number("eps", 1e-8, bounds=(0.0, 1.0)),
        ),
        merge=multislerp,
        base="optional",
        problem=lambda own: zero_weight_sum({**own, "normalize": own["normalize_weights"]}),
    ),
    Method(
        name="karcher",
        paper="Karcher 1977, doi:10.1002/cpa.3160300502; for models arXiv:2603.04972",
        parameters=(
            number("max_iter", 10, bounds=(0.0, 1e6)),
            number("tol", 1e-5, bounds=(0.0, 1.0)),
        ),
        merge=karcher,
        problem=_problem_of_karcher,
    ),
)
