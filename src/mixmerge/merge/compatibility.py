"""Whether models can be merged, decided from headers, configurations and tokenizers.

The rules, until a recipe can say otherwise:

- Every model has every tensor, with the same shape. A head that is stored in one model and tied
  to the embedding in another counts as missing.
- Tensors of numbers with a fraction are bfloat16, float16 or float32, in any combination.
- Tensors of whole numbers (buffers) have one type in all models, and must hold the same values.
- All tokenizers give the same tokens the same ids.
- All configurations name the same architecture.
"""

from collections.abc import Sequence

from mixmerge.merge.checkpoint import Checkpoint
from mixmerge.merge.kernels.rounding import STORED

COPIED = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
"""Types of buffers: copied when all models hold the same, never merged."""


def problems(models: Sequence[Checkpoint]) -> list[str]:
    """Return why the models cannot be merged: one sentence per tensor or file, empty if they can.

    Args:
        models: one or more models; the first is what the others are compared with.
    """
    first = models[0]
    found = [text for model in models for text in _type_problems(model)]
    for other in models[1:]:
        found += _architecture_problems(first, other)
        found += _missing(first, other) + _missing(other, first)
        found += _shape_problems(first, other)
        found += _vocabulary_problems(first, other)
    return found


def _type_problems(model: Checkpoint) -> list[str]:
    return [
        f"tensor {tensor.name} of {model.name} is {tensor.dtype}, which cannot be merged; "
        f"convert it to one of {', '.join(STORED)}"
        for tensor in model.tensors.values()
        if tensor.dtype not in STORED and tensor.dtype not in COPIED
    ]


def _architecture_problems(first: Checkpoint, other: Checkpoint) -> list[str]:
    mine, theirs = first.config.get("model_type"), other.config.get("model_type")
    if mine == theirs:
        return []
    return [f"config.json: model_type is {mine} in {first.name} and {theirs} in {other.name}"]


def _missing(present: Checkpoint, absent: Checkpoint) -> list[str]:
    tied = f" ({absent.name} ties its head to its embedding; save both models tied, or both untied)"
    return [
        f"tensor {name} is in {present.name} and not in {absent.name}"
        + (tied if absent.ties_embeddings and "head" in name else "")
        for name in present.tensors
        if name not in absent.tensors
    ]


def _shape_problems(first: Checkpoint, other: Checkpoint) -> list[str]:
    found = []
    for name, mine in first.tensors.items():
        theirs = other.tensors.get(name)
        if theirs is None:
            continue
        if mine.shape != theirs.shape:
            found.append(
                f"tensor {name} has shape {list(mine.shape)} in {first.name} "
                f"and {list(theirs.shape)} in {other.name}"
            )
        if mine.dtype != theirs.dtype and (mine.dtype in COPIED or theirs.dtype in COPIED):
            found.append(
                f"tensor {name} is {mine.dtype} in {first.name} and {theirs.dtype} in {other.name}"
            )
    return found


def _vocabulary_problems(first: Checkpoint, other: Checkpoint) -> list[str]:
    if first.tokenizer_digest == other.tokenizer_digest:
        return []
    mine, theirs = first.vocabulary, other.vocabulary
    if not mine or not theirs:
        return [f"the tokenizer files of {first.name} and {other.name} differ"]
    for token in [*mine, *theirs]:
        if mine.get(token) != theirs.get(token):
            ids = f"{mine.get(token)} in {first.name} and {theirs.get(token)} in {other.name}"
            return [f"the tokenizers differ: token {token!r} has id {ids}; they must be the same"]
    return []
