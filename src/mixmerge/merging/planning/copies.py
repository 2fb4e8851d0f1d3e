"""Weights that models store twice: merged once, so that equal copies stay equal.

A head that equals its embedding is tied to it, whether or not a file has both; the same holds for
T5's encoder and decoder embeddings. If a model stores both tensors, their bytes are compared.
"""

from collections.abc import Sequence

from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.equivalences import names_of, same_bytes
from mixmerge.merging.models.layout import denies_tied_head, is_head
from mixmerge.merging.models.sources import StoredSource
from mixmerge.merging.planning.compatibility import counterpart


def original_of(name: str, models: Sequence[Checkpoint]) -> str | None:
    """Return the tensor that ``name`` is a copy of in all models; None if there is none.

    Raises:
        ModelError: a file cannot be read.
    """
    originals = (
        other
        for model in models
        for names in [names_of(name, model.tensors, model.config)]
        for other in names[: names.index(name)]
        if other in model.tensors
    )
    found = next(originals, None)
    if found is None or (is_head(name) and all(denies_tied_head(model.config) for model in models)):
        return None
    return found if all(_is_copy(model, name, found) for model in models) else None


def _is_copy(model: Checkpoint, name: str, original: str) -> bool:
    one, other = counterpart(model, name), counterpart(model, original)
    if one == other or one is None or other is None:
        return one is not None
    mine, theirs = model.source(one), model.source(other)
    if not (isinstance(mine, StoredSource) and isinstance(theirs, StoredSource)):
        return False
    return same_bytes(mine.tensor, theirs.tensor)
