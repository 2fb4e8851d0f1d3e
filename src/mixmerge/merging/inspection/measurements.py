"""From sums over elements to what is reported: sizes, cosines and shares, and relatedness.

Training from a common start leaves weights nearly parallel: fine-tunes of one model have a cosine
above 0.99, also after reinforcement learning and much data, while models that were trained apart
are almost perpendicular, even with the same architecture and data (Zeng et al. 2024, HuRef: a
human-readable fingerprint for large language models, arXiv:2312.04828). The weights of models that
are far apart have no common meaning, so their mean has none.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mixmerge.merging.inspection.comparison import Compared, Sums, cosine, nothing
from mixmerge.merging.inspection.result import (
    COUSIN,
    SIBLING,
    Comparison,
    Difference,
    Interference,
    Part,
    Relatedness,
    Relation,
)
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import KINDS, is_recomputed, kind_of, place
from mixmerge.merging.planning.compatibility import counterpart

DOT_THRESHOLD = 0.9995
"""Absolute cosine above which SLERP, by default, takes the straight line between two tensors."""

Group = TypeVar("Group", bound=Hashable)


def comparison(models: Sequence[Checkpoint], compared: Compared) -> Comparison:
    """Measure compared models by part, and judge how every two of them are related."""
    names = list(compared.sums)
    stored = {name: tensor for model in models for name, tensor in model.tensors.items()}
    judges = judged_by({name: len(stored[name].shape) for name in names})
    judged = _part(compared, "judged", judges)
    kinds, layers = _grouped(names, kind_of), _grouped(names, _layer)
    numbered = sorted(layer for layer in layers if layer is not None)
    return Comparison(
        whole=_part(compared, "whole", names),
        kinds=tuple(_part(compared, kind, kinds[kind]) for kind in KINDS if kind in kinds),
        layers=tuple(
            _part(compared, f"{stack}{number}", layers[stack, number]) for stack, number in numbered
        ),
        tensors=tuple(_part(compared, name, [name]) for name in names),
        left_out=compared.left_out,
        relatedness=tuple(
            relatedness(*pair, difference.cosine)
            for pair, difference in zip(combinations(models, 2), judged.differences, strict=True)
        ),
    )


def _grouped(tensors: Sequence[str], key: Callable[[str], Group]) -> dict[Group, list[str]]:
    groups: dict[Group, list[str]] = {}
    for name in tensors:
        groups.setdefault(key(name), []).append(name)
    return groups


def _layer(tensor: str) -> tuple[str, int] | None:
    found = place(tensor)
    return found and (found.stack, found.layer)


def _part(compared: Compared, name: str, tensors: Sequence[str]) -> Part:
    """Measure one or more tensors together, as one vector."""
    models, has_base = compared.models, compared.has_base
    sums = [compared.sums[tensor] for tensor in tensors]
    total = reduce(Sums.plus, sums, nothing(len(models), has_base=has_base))
    straight = np.sum([_are_straight(each) for each in sums], axis=0)
    return Part(
        name=name,
        tensors=len(tensors),
        parameters=int(total.elements),
        differences=tuple(_differences(models, total, straight)),
        interferences=tuple(_interferences(models[1:], total)) if has_base else (),
    )


def _are_straight(tensor: Sums) -> npt.NDArray[np.bool_]:
    """Say for every two inputs whether SLERP would take the straight line."""
    return np.array([abs(cosine or 0.0) > DOT_THRESHOLD for cosine in tensor.cosines()], np.bool_)


def _differences(
    models: Sequence[str], total: Sums, straight: npt.NDArray[np.int64]
) -> list[Difference]:
    elements = float(total.elements)
    norms = np.sqrt(total.squares).tolist()
    return [
        Difference(
            first=models[i],
            second=models[j],
            relative_size=_ratio(math.sqrt(square), norms[i]),
            cosine=cosine,
            changed=_ratio(changed, elements),
            straight=int(count),
        )
        for (i, j), (_, square, changed), cosine, count in zip(
            combinations(range(len(models)), 2),
            total.differences.tolist(),
            total.cosines(),
            straight,
            strict=True,
        )
    ]


def _interferences(models: Sequence[str], total: Sums) -> list[Interference]:
    # The pairs of the base with each model come first.
    norms = [math.sqrt(square) for square in total.differences[: len(models), 1]]
    return [
        Interference(
            first=models[i],
            second=models[j],
            cosine=cosine(product, norms[i], norms[j]),
            opposed=_ratio(opposed, both),
            cancelled=1.0 - min(1.0, together / apart) if apart else None,
        )
        for (i, j), (product, both, opposed, apart, together) in zip(
            combinations(range(len(models)), 2), total.conflicts.tolist(), strict=True
        )
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def judged_by(tensors: Mapping[str, int]) -> list[str]:
    """Return the tensors whose cosine decides: the matrices of the layers.

    Norms are near one and embeddings share a mean in all models, related or not. Where there are
    no such matrices, all matrices decide, and where there are none either, all tensors. They are
    given as their numbers of dimensions by name.
    """
    matrices = [name for name, dimensions in tensors.items() if dimensions > 1]
    in_layers = [name for name in matrices if place(name) and kind_of(name) != "norm"]
    return in_layers or matrices or list(tensors)


def relatedness(first: Checkpoint, second: Checkpoint, cosine: float | None) -> Relatedness:
    """Judge how two models are related, by the cosine of what `judged_by` returns, if it exists."""
    relation, reason = _relation(first, second, cosine)
    return Relatedness(
        first=first.name, second=second.name, relation=relation, cosine=cosine, reason=reason
    )


def _relation(first: Checkpoint, second: Checkpoint, cosine: float | None) -> tuple[Relation, str]:
    if first.config.get("model_type") != second.config.get("model_type"):
        return "stranger", "another architecture"
    if not _fit(first, second, inner=True):
        return "stranger", "tensors of other names or shapes"
    if cosine is None or cosine < COUSIN:
        return "stranger", f"trained apart (below {COUSIN})"
    if cosine < SIBLING:
        return "cousin", f"far apart (below {SIBLING})"
    misfit = "" if _fit(first, second, inner=False) else "embedding or head do not fit"
    same = first.tokenizer_digest == second.tokenizer_digest
    if not misfit and not same and first.vocabulary != second.vocabulary:
        misfit = "other tokens"
    return (
        ("cousin", f"nearly parallel, but {misfit}") if misfit else ("sibling", "nearly parallel")
    )


def _fit(first: Checkpoint, second: Checkpoint, *, inner: bool) -> bool:
    """Say whether embeddings and heads have the same shapes, or all that lies between them."""
    return all(
        _shape(first, name) == _shape(second, name)
        for name in {**first.tensors, **second.tensors}
        if (kind_of(name) not in ("embedding", "head")) == inner
    )


def _shape(model: Checkpoint, name: str) -> tuple[int, ...] | None:
    at = counterpart(model, name)
    if at is None or is_recomputed(name, model.tensors[at].shape):
        return None
    return model.tensors[at].shape
