"""Tensors with one row per token, whatever their names.

Embeddings and heads are known by name; biases of heads and other output layers by size: no other
tensor outside the layers has as many rows as the embedding. If the size is ambiguous, because the
configuration uses the same number elsewhere, the tensor is refused rather than left in the wrong
order.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import embedding, is_embedding, is_head, kind_of, place

_NOT_TOKENS = ("pos", "wpe", "type")
"""In names of tables of something else."""


def token_tables(model: Checkpoint) -> set[str]:
    """Return the tensors of a model with one row per token."""
    rows = _rows(model)
    is_size = rows in _sizes(model)
    return {
        name
        for name, tensor in model.tensors.items()
        if not tensor.module
        and (_is_known(name) or (not is_size and _may_be(name, tensor.shape, rows)))
    }


def refuse_other_tables(model: Checkpoint, tokens: int) -> None:
    """Refuse a model with rows for its ``tokens``, which get other ids, that cannot be reordered.

    Raises:
        ModelError: it has such a tensor; the message names it.
    """
    rows, known, sizes = _rows(model), token_tables(model), _sizes(model)
    for name, tensor in model.tensors.items():
        if name in known or tensor.module or any(word in name for word in _NOT_TOKENS):
            continue
        shape = tensor.shape
        called_so = len(shape) == 2 and ("embed" in name or name.endswith("head.weight"))
        behind = rows in shape[1:] and rows not in sizes and not place(name)
        if behind or (called_so and shape[0] >= tokens) or _may_be(name, shape, rows):
            raise ModelError(
                f"{model.name}: tensor {name} has rows for tokens besides the embedding, which "
                "cannot be reordered for another vocabulary."
            )


def _is_known(name: str) -> bool:
    """Whether a tensor has the name of an embedding, a head, or the bias of a head."""
    module = name.removesuffix("bias")
    biased = (f"{module}weight", f"{module}decoder.weight") if module != name else ()
    names = (name, *biased)
    return place(name) is None and (
        is_embedding(name) or any(map(is_head, names)) or name.endswith("final_logits_bias")
    )


def _may_be(name: str, shape: tuple[int, ...], rows: int) -> bool:
    """Whether a tensor outside the layers has as many rows as the embedding."""
    return (
        place(name) is None
        and shape[:1] == (rows,)
        and kind_of(name) not in ("norm", "embedding")
        and not any(word in name for word in _NOT_TOKENS)
    )


def _rows(model: Checkpoint) -> int:
    name = embedding(model.tensors, model.config)
    return model.tensors[name].shape[0] if name else 0


def _sizes(model: Checkpoint) -> set[int]:
    """Return the numbers in a configuration that may be sizes of something other than tokens."""
    return {
        value
        for key, value in _numbers(model.config)
        if "vocab" not in key and not key.endswith(("_id", "_ids", "_index"))
    }


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield key, value
