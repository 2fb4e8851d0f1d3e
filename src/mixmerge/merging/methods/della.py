"""DELLA: drop elements of task vectors, small ones more often; add the rest or elect signs."""

from collections.abc import Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.random_drop import keep_by_rank
from mixmerge.merging.methods.combine import SparseMerge, Sparsify, sparse_parameters
from mixmerge.merging.methods.method import Arguments, Method, number, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, Tile

_EPSILON = number("epsilon", 0.15, per_model=True, bounds=(0.0, 0.5))


def drop(tensor: Tensor, density: Sequence[float], epsilon: Sequence[float]) -> Sparsify:
    """Keep elements with a probability that depends on their rank in their row (MagPrune).

    It falls linearly from density + epsilon for the largest magnitude to density - epsilon for the
    smallest. A density of 1 keeps everything, one of 0 nothing.
    """

    def thin(deltas: Array, tile: Tile) -> None:
        for model, (delta, share, range_) in enumerate(zip(deltas, density, epsilon, strict=True)):
            if share <= 0.0:
                delta[:] = 0
            elif share < 1.0:
                keep_by_rank(tile.rows(delta), share, range_, tensor.random_bits(tile, model))

    return thin


def range_problem(arguments: Arguments) -> str | None:
    """Refuse a density and an epsilon that give probabilities outside (0, 1)."""
    density, epsilon = arguments["density"], arguments["epsilon"]
    assert isinstance(density, tuple)
    assert isinstance(epsilon, tuple)
    for share, spread in zip(map(float, density), map(float, epsilon), strict=True):
        if 0 < share < 1 and not (share - spread > 0 and share + spread < 1):
            return (
                f"density {share:g} with epsilon {spread:g} needs probabilities from "
                f"{share - spread:g} to {share + spread:g}; both must lie between 0 and 1"
            )
    return None


METHODS = (
    Method(
        name="della_linear",
        paper="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617, without its election",
        parameters=sparse_parameters(_EPSILON, rescale=True),
        merge=SparseMerge(drop, elect=False),
        base="required",
        version=3,  # draws by a model's name, no longer by its place
        by_row=True,
        problem=lambda arguments: range_problem(arguments) or zero_weight_sum(arguments),
    ),
    Method(
        name="della",
        paper="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617",
        parameters=sparse_parameters(_EPSILON, normalize=True, rescale=True),
        merge=SparseMerge(drop, elect=True),
        base="required",
        version=3,  # draws by a model's name, no longer by its place
        by_row=True,
        problem=range_problem,
    ),
)
