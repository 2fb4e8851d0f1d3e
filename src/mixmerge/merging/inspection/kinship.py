"""How two models are related, judged by their tensors and the angle between their weights.

Training from a common start leaves weights nearly parallel: fine-tunes of one model have a cosine
above 0.99, also after reinforcement learning and much data, while models that were trained apart
are almost perpendicular, even with the same architecture and data (Zeng et al. 2024, HuRef: a
human-readable fingerprint for large language models, arXiv:2312.04828). The weights of models that
are far apart have no common meaning, so their mean has none.
"""

from collections.abc import Mapping
from typing import Literal

from mixmerge.merging.inspection.kinds import kind_of
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layers import place
from mixmerge.merging.models.layout import is_recomputed
from mixmerge.merging.planning.compatibility import counterpart
from mixmerge.records.row import RowModel

SIBLING = 0.99
"""Least cosine of siblings: the difference is at most 14 % of the weights."""
COUSIN = 0.3
"""Least cosine of cousins; below it, two models were trained apart."""

Relation = Literal["sibling", "cousin", "stranger"]
"""- ``sibling``: fine-tunes of one model, or one of the other. Made for merging.
- ``cousin``: a common start, but far apart, or with other tokens. A merge may work.
- ``stranger``: tensors that do not fit, or weights that have nothing in common. A merge is noise.
"""


class Kinship(RowModel):
    """How two models are related, and why we think so."""

    first: str
    second: str
    relation: Relation
    cosine: float | None
    """Of the weights by which the models are judged: see `judged_by`."""
    reason: str


def judged_by(tensors: Mapping[str, int]) -> list[str]:
    """Return the tensors whose cosine decides: the matrices of the layers.

    Norms are near one and embeddings share a mean in all models, related or not. Where there are
    no such matrices, all matrices decide, and where there are none either, all tensors.

    Args:
        tensors: number of dimensions by name.
    """
    matrices = [name for name, dimensions in tensors.items() if dimensions > 1]
    in_layers = [name for name in matrices if place(name) and kind_of(name) != "norm"]
    return in_layers or matrices or list(tensors)


def kinship(first: Checkpoint, second: Checkpoint, cosine: float | None) -> Kinship:
    """Judge how two models are related.

    Args:
        first: a model.
        second: another.
        cosine: of the tensors of `judged_by`; None: there are none.
    """
    relation, reason = _relation(first, second, cosine)
    return Kinship(
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
    if at is None or is_recomputed(name, model.tensors[at].shape):
        return None
    return model.tensors[at].shape
