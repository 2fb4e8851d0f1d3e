"""DELLA: drop elements of task vectors, small ones more often, elect signs, merge what agrees."""

from mixmerge.merging.methods.della_linear import merging, parameters, range_problem
from mixmerge.merging.methods.method import Method

METHOD = Method(
    name="della",
    paper="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617",
    parameters=parameters(normalize=True),
    merge=merging(elect=True),
    base="required",
    by_row=True,
    problem=range_problem,
    version=3,  # draws by a model's name, no longer by its place
)
