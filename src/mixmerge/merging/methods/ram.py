"""RAM: average what several models changed, keep in full what only one did."""

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import mean_of_changed
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction


def merge(tensor: Tensor, *, epsilon: float) -> TileFunction:
    """Return b plus, for each element, the mean of the task vectors larger than ``epsilon``."""
    boosts = [1.0] * tensor.count

    def combine(tile: Tile) -> Array:
        merged = mean_of_changed(tile.to_deltas(), epsilon, boosts)
        merged += tile.base
        return merged

    return combine


METHOD = Method(
    name="ram",
    paper="Yuan et al. 2026, Behavior knowledge merge in RL-trained agents, arXiv:2601.13572",
    parameters=(number("epsilon", 1e-5, bounds=(0.0, 1.0)),),
    merge=merge,
    base="required",
)
