"""RAM and RAM+: average what several models changed, keep in full what only one did."""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import mean_of_changed
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Sums, Tensor, Tile, TileFunction


def ram(tensor: Tensor, *, epsilon: float) -> TileFunction:
    """Return b plus, for each element, the mean of the task vectors larger than ``epsilon``."""
    return _add_changes(epsilon, [1.0] * tensor.count)


def ram_plus(tensor: Tensor, *, r: float, alpha: float, epsilon: float) -> TileFunction:
    """Return b plus, for each element, the mean of the task vectors larger than ``epsilon``.

    Where only one model changed an element, its task vector counts 1 + r min(rho, alpha) times. rho
    is this model's number of shared changes divided by its unshared ones, counted in this tensor;
    the paper counts over the whole model.
    """
    shared, unique = tensor.sum(lambda tile: _changes(tile, epsilon))
    boosts = 1.0 + r * np.clip(shared / np.maximum(unique, 1), 0.0, alpha)
    return _add_changes(epsilon, boosts)


def _add_changes(epsilon: float, boosts: npt.ArrayLike) -> TileFunction:
    def combine(tile: Tile) -> Array:
        merged = mean_of_changed(tile.to_deltas(), epsilon, boosts)
        merged += tile.base
        return merged

    return combine


def _changes(tile: Tile, epsilon: float) -> Sums:
    """Count each model's changes that others share, and those that they do not."""
    changed = np.abs(tile.to_deltas()) > np.float32(epsilon)
    once, twice = np.zeros((2, tile.count), np.bool_)
    for row in changed:
        twice |= once & row
        once |= row
    unique = np.count_nonzero(changed & ~twice, axis=1)
    return np.array([np.count_nonzero(changed, axis=1) - unique, unique], np.float64)


METHODS = (
    Method(
        name="ram",
        paper="Yuan et al. 2026, Behavior knowledge merge in RL-trained agents, arXiv:2601.13572",
        parameters=(number("epsilon", 1e-5, bounds=(0.0, 1.0)),),
        merge=ram,
        base="required",
    ),
    Method(
        name="ramplus_tl",
        paper="Yuan et al. 2026, Behavior knowledge merge in RL-trained agents, arXiv:2601.13572",
        parameters=(
            number("r", 0.1),
            number("alpha", 0.2, bounds=(0.0, 1e6)),
            number("epsilon", 1e-5, bounds=(0.0, 1.0)),
        ),
        merge=ram_plus,
        base="required",
    ),
)
