"""DARE: drop random elements of task vectors, rescale the rest; add them up or elect signs."""

from collections.abc import Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.random_drop import keep_random
from mixmerge.merging.methods.combine import SparseMerge, Sparsify, sparse_parameters
from mixmerge.merging.methods.method import Method, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, Tile

_PARAMETERS = sparse_parameters(rescale=True)


def drop(tensor: Tensor, density: Sequence[float]) -> Sparsify:
    """Keep each element of each task vector with probability ``density``.

    ``rescale`` then restores each task vector's L1 norm, as in mergekit; the paper instead divides
    by the density, which keeps every element's expectation.
    """

    def thin(deltas: Array, tile: Tile) -> None:
        for model, (delta, share) in enumerate(zip(deltas, density, strict=True)):
            keep_random(delta, share, tensor.random_words(model), tile.start)

    return thin


METHODS = (
    Method(
        name="dare_linear",
        paper="Yu et al. 2024, Language models are super Mario, arXiv:2311.03099",
        parameters=_PARAMETERS,
        merge=SparseMerge(drop, elect=False),
        base="required",
        version=3,  # draws by a model's name, no longer by its place
        problem=zero_weight_sum,
    ),
    Method(
        name="dare_ties",
        paper="Yu et al. 2024, arXiv:2311.03099, with the sign election of arXiv:2306.01708",
        parameters=_PARAMETERS,
        merge=SparseMerge(drop, elect=True),
        base="required",
        version=3,  # draws by a model's name, no longer by its place
    ),
)
