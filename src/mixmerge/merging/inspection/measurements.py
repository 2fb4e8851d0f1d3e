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
    Difference,
    Interference,
    Part,
    Relatedness,
    Relation,
)
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import KINDS, kind_of, place
from mixmerge.merging.planning.compatibility import counterpart

DOT_THRESHOLD = 0.9995
"""Absolute cosine above which SLERP, by default, takes the straight line between two tensors."""

Group = TypeVar("Group", bound=Hashable)


class Measurements:
    """What the sums of compared models say of any part of them."""

    def __init__(self, compared: Compared) -> None:
        """Take the sums of all tensors."""
        self._compared = compared
        self._nothing = nothing(len(compared.models), has_base=compared.has_base)
        self._straight = {name: _are_straight(sums) for name, sums in compared.sums.items()}

    def part(self, name: str, tensors: Sequence[str]) -> Part:
        """Measure one or more tensors together, as one vector."""
        models, has_base = self._compared.models, self._compared.has_base
        total = reduce(Sums.plus, map(self._compared.sums.__getitem__, tensors), self._nothing)
        straight = np.sum([self._straight[tensor] for tensor in tensors], axis=0)
        return Part(
            name=name,
            tensors=len(tensors),
            parameters=int(total.elements),
            differences=tuple(_differences(models, total, straight)),
            interferences=tuple(_interferences(models[1:], total)) if has_base else (),
        )

    def whole(self) -> Part:
        """Measure all tensors together."""
        return self.part("whole", list(self._compared.sums))

    def tensors(self) -> tuple[Part, ...]:
        """Measure every tensor."""
        return tuple(self.part(name, [name]) for name in self._compared.sums)

    def kinds(self) -> tuple[Part, ...]:
        """Measure all tensors of each kind, in the order of `KINDS`."""
        groups = self._grouped(kind_of)
        return tuple(self.part(kind, groups[kind]) for kind in KINDS if kind in groups)

    def layers(self) -> tuple[Part, ...]:
        """Measure every layer, stack by stack, from the first to the last."""
        groups = self._grouped(_layer)
        numbered = sorted(layer for layer in groups if layer is not None)
        return tuple(
            self.part(f"{stack}{number}", groups[stack, number]) for stack, number in numbered
        )

    def _grouped(self, key: Callable[[str], Group]) -> dict[Group, list[str]]:
        groups: dict[Group, list[str]] = {}
        for name in self._compared.sums:
            groups.setdefault(key(name), []).append(name)
        return groups


def _are_straight(tensor: Sums) -> npt.NDArray[np.bool_]:
    """Say for every two inputs whether SLERP would take the straight line."""
    return np.array([abs(cosine or 0.0) > DOT_THRESHOLD for cosine in tensor.cosines()], np.bool_)


def _layer(tensor: str) -> tuple[str, int] | None:
    found = place(tensor)
    return found and (found.stack, found.layer)


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
    misfit = _misfit_of_layers(first, second)
    if misfit:
        return "stranger", misfit
    if cosine is None or cosine < COUSIN:
        return "stranger", f"trained apart (below {COUSIN})"
    if cosine < SIBLING:
        return "cousin", f"far apart (below {SIBLING})"
    misfit = _misfit_of_tokens(first, second)
    if misfit:
        return "cousin", f"nearly parallel, but {misfit}"
    return "sibling", "nearly parallel"


def _misfit_of_layers(first: Checkpoint, second: Checkpoint) -> str | None:
    if first.config.get("model_type") != second.config.get("model_type"):
        return "another architecture"
    if not _fit(first, second, inner=True):
        return "tensors of other names or shapes"
    return None


def _misfit_of_tokens(first: Checkpoint, second: Checkpoint) -> str | None:
    if not _fit(first, second, inner=False):
        return "embedding or head do not fit"
    if first.tokenizer_digest != second.tokenizer_digest and first.vocabulary != second.vocabulary:
        return "other tokens"
    return None


def _fit(first: Checkpoint, second: Checkpoint, *, inner: bool) -> bool:
    """Say whether embeddings and heads have the same shapes, or all that lies between them."""
    return all(
        _shape(first, name) == _shape(second, name)
        for name in {**first.tensors, **second.tensors}
        if (kind_of(name) not in ("embedding", "head")) == inner
    )


def _shape(model: Checkpoint, name: str) -> tuple[int, ...] | None:
    at = counterpart(model, name)
    return model.tensors[at].shape if at is not None else None
