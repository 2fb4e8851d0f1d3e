"""DARE-TIES: drop random elements of task vectors, rescale the rest, elect signs, merge."""

from mixmerge.merging.methods.dare_linear import PARAMETERS, merging
from mixmerge.merging.methods.method import Method

METHOD = Method(
    name="dare_ties",
    paper="Yu et al. 2024, arXiv:2311.03099, with the sign election of arXiv:2306.01708",
    parameters=PARAMETERS,
    merge=merging(elect=True),
    base="required",
    version=3,  # draws by a model's name, no longer by its place
)
