"""Which tensors of a model have a row for each token, whatever they are called.

Embeddings and heads are known by name; biases of heads and other output layers by their size: no
other tensor outside of the layers has as many rows as the embedding. Where a size says nothing,
because the configuration has the same number for something else, the tensor is refused rather than
left in the order of another vocabulary.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import embedding, is_embedding, is_head, kind_of, place

_NOT_TOKENS = ("pos", "wpe", "type", "/")
"""In names of tables of something else, and of modules beside the model."""


def token_tables(model: Checkpoint) -> set[str]:
    """Return the tensors of a model whose rows are those of its tokens."""
    rows = _rows(model)
    return {
        name
        for name, tensor in model.tensors.items()
        if _is_known(name) or (_may_be(name, tensor.shape, rows) and rows not in _sizes(model))
    }


def refuse_other_tables(model: Checkpoint, tokens: int) -> None:
    """Refuse a model that has rows for its tokens where they cannot be put into another order.

    Args:
        model: a model whose tokens have other ids in the output.
        tokens: how many it has.

    Raises:
        ModelError: it has such a tensor; the message names it.
    """
    rows, known, sizes = _rows(model), token_tables(model), _sizes(model)
    for name, tensor in model.tensors.items():
        if name in known or any(word in name for word in _NOT_TOKENS):
            continue
        shape = tensor.shape
        called_so = len(shape) == 2 and ("embed" in name or name.endswith("head.weight"))
        behind = rows in shape[1:] and rows not in sizes and not place(name)
        if behind or (called_so and shape[0] >= tokens) or _may_be(name, shape, rows):
            raise ModelError(
                f"{model.name}: tensor {name} has rows for tokens beside the embedding, which "
                "cannot be put into the order of another vocabulary."
            )


def _is_known(name: str) -> bool:
    """Say whether a tensor is called as an embedding, a head, or the bias of a head."""
    module = name.removesuffix("bias")
    biased = (f"{module}weight", f"{module}decoder.weight") if module != name else ()
    names = (name, *biased)
    return place(name) is None and (
        is_embedding(name) or any(map(is_head, names)) or name.endswith("final_logits_bias")
    )


def _may_be(name: str, shape: tuple[int, ...], rows: int) -> bool:
    """Say whether a tensor outside of the layers has as many rows as the embedding."""
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
    """Return the numbers of a configuration that could be a size, but not that of a vocabulary."""
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
