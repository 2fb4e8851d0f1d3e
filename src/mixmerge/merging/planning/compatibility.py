"""Whether models can be merged, judged by headers, configurations and tokenizers.

The rules:

- Every model has every tensor, with the same shape, under this name or as another copy of the same
  weight: the embedding counts as the head of a model that ties it.
- Floating-point tensors are bfloat16, float16 or float32, in any combination.
- Integer tensors (buffers) have the same type and the same values in all models.
- Counters, and buffers that loaders recompute, are ignored.
- All tokenizers give the same tokens the same ids, or the recipe aligns them. A model without a
  tokenizer is assumed to have the donor's ids.
- All configurations name the same architecture.
"""

import reprlib
from collections.abc import Sequence

from mixmerge.errors import ModelError
from mixmerge.fingerprint import file_fingerprint
from mixmerge.merging.kernels.rounding import STORED
from mixmerge.merging.models import layout
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import OTHER_TOKENS, donated, has_tokenizer
from mixmerge.merging.models.equivalences import names_of
from mixmerge.merging.vocabularies.tokenizer_files import read_tokenizer

COPIED = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"}
"""Types of buffers, which are never merged but copied if equal in all models."""


def problems(models: Sequence[Checkpoint]) -> list[str]:
    """Return why models cannot be merged, one sentence per tensor or file."""
    found = model_problems(models) + vocabulary_problems(models)
    names = dict.fromkeys(name for model in models for name in model.tensors)
    for name in names:
        if layout.is_untrained(name, models[0].config):
            continue
        inputs = [(model, counterpart(model, name)) for model in models]
        tensors = [
            (model.name, at, model.tensors[at] if at is not None else None) for model, at in inputs
        ]
        found += tensor_problems(name, tensors)
    return found


def model_problems(models: Sequence[Checkpoint]) -> list[str]:
    """Return the differences in architecture from the first model."""
    first = models[0]
    mine = first.config.get("model_type")
    return [
        f"config.json: model_type is {_shown(mine)} in {first.name} and "
        f"{_shown(other.config.get('model_type'))} in {other.name}"
        for other in models[1:]
        if other.config.get("model_type") != mine
    ]


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and len(text) < 100 else reprlib.repr(value)


def counterpart(model: Checkpoint, name: str) -> str | None:
    """Return the tensor of that name, or another copy of it such as a tied embedding."""
    if name in model.tensors:
        return name
    if layout.is_head(name) and layout.denies_tied_head(model.config):
        return None
    others = names_of(name, model.tensors, model.config)
    return next((other for other in others if other in model.tensors), None)


def tensor_problems(
    name: str, inputs: Sequence[tuple[str, str | None, layout.Described | None]]
) -> list[str]:
    """Return why tensors cannot be merged into one.

    The inputs are each model's name, its own name for the tensor, and the tensor if it has one.
    """
    present = [(model, at, tensor) for model, at, tensor in inputs if tensor is not None]
    absent = [model for model, _, tensor in inputs if tensor is None]
    why = " (whose configuration does not tie it to the embedding)" if layout.is_head(name) else ""
    found = [f"tensor {name} is in {present[0][0]} and not in {model}{why}" for model in absent]
    found += [
        f"tensor {at} of {model} is {tensor.dtype}, which cannot be merged; "
        f"convert it to one of {', '.join(STORED)}"
        for model, at, tensor in present
        if tensor.dtype not in STORED and tensor.dtype not in COPIED
    ]
    model, _, first = present[0]
    for other, _, tensor in present[1:]:
        if tensor.shape != first.shape:
            found.append(
                f"tensor {name} has shape {list(first.shape)} in {model} "
                f"and {list(tensor.shape)} in {other}{_hint(first.shape, tensor.shape)}"
            )
        if tensor.dtype != first.dtype and (tensor.dtype in COPIED or first.dtype in COPIED):
            found.append(f"tensor {name} is {first.dtype} in {model} and {tensor.dtype} in {other}")
    return found


def _hint(one: tuple[int, ...], other: tuple[int, ...]) -> str:
    """Return advice if only the number of rows differs, as between vocabularies."""
    if len(one) == len(other) == 2 and one[1] == other[1]:
        return " (if these are rows of tokens, align them with `tokenizer: {source: union}`)"
    return ""


def vocabulary_problems(models: Sequence[Checkpoint]) -> list[str]:
    """Return how tokenizers differ from the first one."""
    found: list[str] = []
    having = [model for model in models if has_tokenizer(model.tokenizer_folder)]
    first = having[0] if having else models[0]
    for other in [each for each in having if each.tokenizer_digest != first.tokenizer_digest]:
        try:
            mine, theirs = _tokens(first), _tokens(other)
        except ModelError as error:
            if not _share_a_file(first, other):
                reason = str(error).removesuffix(".")
                what = f"the tokenizer files of {first.name} and {other.name} differ"
                found.append(f"{what} ({reason})")
            continue
        token = next(
            (each for each in [*mine, *theirs] if mine.get(each) != theirs.get(each)), None
        )
        if token is not None:
            ids = f"{mine.get(token)} in {first.name} and {theirs.get(token)} in {other.name}"
            align = "align them with `tokenizer: {source: union}`"
            found.append(f"the tokenizers differ: token {token!r} has id {ids}; {align}")
    return found


def _tokens(model: Checkpoint) -> dict[str, int]:
    """Return ids by token; older tokenizer formats are converted."""
    return model.vocabulary or read_tokenizer(model.tokenizer_folder).vocabulary


def _share_a_file(first: Checkpoint, other: Checkpoint) -> bool:
    """Whether all vocabulary files that both models have are the same, and there is one."""
    mine, theirs = (donated(model.tokenizer_folder, OTHER_TOKENS) for model in (first, other))
    both = mine.keys() & theirs.keys()
    return bool(both) and all(
        file_fingerprint(mine[name]) == file_fingerprint(theirs[name]) for name in both
    )
