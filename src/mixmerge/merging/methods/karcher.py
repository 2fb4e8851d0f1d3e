"""Karcher mean: the point of the sphere with the least squared distances to all models."""

import math

import numpy as np

from mixmerge.merging.kernels.interpolate import length
from mixmerge.merging.methods.method import Arguments, Method, number
from mixmerge.merging.methods.span import combination
from mixmerge.merging.streaming.tensor import Sums, Tensor, TileFunction


def merge(tensor: Tensor, *, max_iter: float, tol: float) -> TileFunction:
    """Return the Karcher mean of the models' directions, times the mean of their norms.

    From the mean direction, each step walks along the great circle that the mean of the tangents
    towards the models points to, until it is at most ``tol`` long or ``max_iter`` steps are done.
    Models whose norm is at most ``tol`` have no direction and count in the mean norm only.
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
    """Find the mean of unit vectors on the sphere, as a weighted sum of them.

    A vector that is opposite to the mean, or equal to it, lies in no direction from it and takes
    no part in a step.

    Args:
        cosines: of the angles between the vectors, shape (vectors, vectors).
        max_iter: most steps.
        tol: the length of a step, and the sine of an angle, that count as zero.

    Returns:
        Shape (vectors,).
    """
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


def _problem(arguments: Arguments) -> str | None:
    steps = arguments["max_iter"]
    whole = isinstance(steps, (int, float)) and steps == int(steps)
    return None if whole else f"`max_iter` must be a whole number, not {steps!r}"


METHOD = Method(
    name="karcher",
    paper="Karcher 1977, doi:10.1002/cpa.3160300502; for models arXiv:2603.04972",
    parameters=(
        number("max_iter", 10, bounds=(0.0, 1e6)),
        number("tol", 1e-5, bounds=(0.0, 1.0)),
    ),
    merge=merge,
    problem=_problem,
)
