"""TIES: trim task vectors to their largest elements, elect signs, merge what agrees."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.consensus import sign_by_count, sign_by_mass, sum_of_agreeing
from mixmerge.merge.kernels.sparsify import keep_largest, restore_magnitude
from mixmerge.merge.methods.method import (
    Arguments,
    Method,
    Tensors,
    choice,
    number,
    switch,
    zero_weight_sum,
)


def combine(
    tensors: Tensors,
    *,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
    variant: str,
) -> Array:
    """Return b + lambda times the merged task vectors.

    Each task vector keeps the share ``density`` of its elements that are largest (``rescale``
    gives it back its L1 norm) and is multiplied by its weight. Then, for each element:

    - ``original``: the sign of the sum wins; what agrees is added and, if ``normalize``, divided
      by the sum of the agreeing weights (TIES as mergekit has it).
    - ``paper``: the majority of signs wins, a draw leaves the base; what agrees is added and, if
      ``normalize``, divided by the sum of all weights. With equal weights these are equations 3
      and 4 of arXiv:2410.10801, written there on parameters and applied here to task vectors.
    """
    trimmed = []
    for delta, kept in zip(tensors.deltas(), density, strict=True):
        sparse = keep_largest(delta, kept)
        trimmed.append(restore_magnitude(delta, sparse) if rescale else sparse)
    if variant == "original":
        return elect_and_add(tensors, trimmed, weight, normalize, lambda_)
    weighted = [share * delta for share, delta in zip(weight, trimmed, strict=True)]
    total, _ = sum_of_agreeing(weighted, weight, sign_by_count(weighted))
    return tensors.base + (lambda_ / math.fsum(weight) if normalize else lambda_) * total


def elect_and_add(
    tensors: Tensors,
    deltas: Sequence[Array],
    weight: Sequence[float],
    normalize: bool,
    lambda_: float,
) -> Array:
    """Elect signs by mass over weighted task vectors, and add the mean (or sum) that agrees."""
    weighted = [share * delta for share, delta in zip(weight, deltas, strict=True)]
    total, share = sum_of_agreeing(weighted, weight, sign_by_mass(weighted))
    if normalize:
        total /= np.where(share == 0, np.float32(1), share)
    return tensors.base + lambda_ * total


def _problem(arguments: Arguments) -> str | None:
    return zero_weight_sum(arguments) if arguments["variant"] == "paper" else None


METHOD = Method(
    name="ties",
    paper="Yadav et al. 2023, TIES-Merging, arXiv:2306.01708",
    parameters=(
        number("weight", per_model=True),
        number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
        switch("normalize", True),
        switch("rescale", False),
        number("lambda", 1.0),
        choice("variant", "original", "paper"),
    ),
    combine=combine,
    needs_base=True,
    problem=_problem,
)
