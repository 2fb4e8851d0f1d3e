"""From sums over elements to what is reported: sizes, cosines and shares of any part of a model."""

import math
from collections.abc import Callable, Hashable, Sequence
from functools import reduce
from itertools import combinations
from typing import TypeVar

from mixmerge.merge.comparison import Compared, Sums, nothing
from mixmerge.merge.inspection import Difference, Interference, Part
from mixmerge.merge.kinds import KINDS, kind_of
from mixmerge.merge.schedules import place

DOT_THRESHOLD = 0.9995
"""Absolute cosine above which SLERP, by default, takes the straight line between two tensors."""

Group = TypeVar("Group", bound=Hashable)


def part(compared: Compared, name: str, tensors: Sequence[str]) -> Part:
    """Measure some tensors together, as one vector.

    Args:
        compared: the sums of all tensors.
        name: what the part is called.
        tensors: which of them belong to it.
    """
    each = [compared.sums[tensor] for tensor in tensors]
    total = reduce(Sums.plus, each, nothing(len(compared.models), has_base=compared.has_base))
    return Part(
        name=name,
        tensors=len(tensors),
        parameters=int(total.elements),
        differences=tuple(_differences(compared.models, total, each)),
        interferences=tuple(_interferences(compared, total)),
    )


def tensors(compared: Compared) -> list[Part]:
    """Measure every tensor."""
    return [part(compared, name, [name]) for name in compared.sums]


def kinds(compared: Compared) -> list[Part]:
    """Measure all tensors of each kind, in the order of `KINDS`."""
    groups = _grouped(compared, kind_of)
    return [part(compared, kind, groups[kind]) for kind in KINDS if kind in groups]


def layers(compared: Compared) -> list[Part]:
    """Measure every layer, stack by stack, from the first to the last."""
    groups = _grouped(compared, _layer)
    numbered = sorted(layer for layer in groups if layer is not None)
    return [part(compared, f"{stack}{number}", groups[stack, number]) for stack, number in numbered]


def _layer(tensor: str) -> tuple[str, int] | None:
    found = place(tensor)
    return found and (found.stack, found.layer)


def _grouped(compared: Compared, key: Callable[[str], Group]) -> dict[Group, list[str]]:
    groups: dict[Group, list[str]] = {}
    for name in compared.sums:
        groups.setdefault(key(name), []).append(name)
    return groups


def _differences(models: Sequence[str], total: Sums, each: Sequence[Sums]) -> list[Difference]:
    return [
        Difference(
            first=models[i],
            second=models[j],
            relative_size=_relative_size(total, pair, i),
            cosine=_cosine(total, pair, i, j),
            changed=_ratio(total.differences[pair, 2], float(total.elements)),
            straight=sum(
                abs(_cosine(tensor, pair, i, j) or 0.0) > DOT_THRESHOLD for tensor in each
            ),
        )
        for pair, (i, j) in enumerate(combinations(range(len(models)), 2))
    ]


def _relative_size(sums: Sums, pair: int, first: int) -> float | None:
    square = _ratio(sums.differences[pair, 1], sums.squares[first])
    return None if square is None else math.sqrt(square)


def _cosine(sums: Sums, pair: int, first: int, second: int) -> float | None:
    return _clipped(
        _ratio(
            sums.differences[pair, 0],
            math.sqrt(sums.squares[first]) * math.sqrt(sums.squares[second]),
        )
    )


def _interferences(compared: Compared, total: Sums) -> list[Interference]:
    if not compared.has_base:
        return []
    _, *models = compared.models
    # The pairs of the base with each model come first.
    norms = [math.sqrt(square) for square in total.differences[: len(models), 1]]
    return [
        Interference(
            first=models[i],
            second=models[j],
            cosine=_clipped(_ratio(product, norms[i] * norms[j])),
            opposed=_ratio(opposed, both),
            cancelled=_cancelled(apart, together),
        )
        for (i, j), (product, both, opposed, apart, together) in zip(
            combinations(range(len(models)), 2), total.conflicts.tolist(), strict=True
        )
    ]


def _cancelled(apart: float, together: float) -> float | None:
    ratio = _ratio(together, apart)
    return None if ratio is None else 1.0 - min(1.0, ratio)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _clipped(cosine: float | None) -> float | None:
    return None if cosine is None else min(1.0, max(-1.0, cosine))
