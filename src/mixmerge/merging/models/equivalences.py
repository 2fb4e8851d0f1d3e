"""Different names, layouts and copies of the same weight.

Libraries and their versions store the same model differently, and loaders read all variants:

- **Names.** Leading words of a name only say how the model is wrapped; a few inner words were
  renamed over the years. `common_key` removes the former and unifies the latter.
- **Layouts.** A layer's experts are stored one by one, or packed into one three-dimensional tensor,
  of which each expert is a contiguous part.
- **Copies.** A tied head, T5's and BART's encoder and decoder embeddings, and the biases of masked
  language-model heads are one weight with two names; a file has one or both.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.merging.models.layout import (
    Described,
    embedding,
    head,
    is_embedding,
    is_head,
    language_config,
)
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT, StoredTensor

_PACKAGING = frozenset({"model", "language_model", "text_model", "module", "_orig_mod"})
"""First words of names that only say how a model is wrapped."""
_RENAMED = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\._orig_mod\.", "."),
        (r"^embed_out\.", "lm_head."),
        (r"\bvision_tower\.vision_model\.", "vision_tower."),
        (r"\.block_sparse_moe\.", ".mlp."),
        (r"\.router\.layer\.", ".router."),
        (r"\.gate\.moe_statics\.", ".moe_statics."),
        (r"\.mlp\.gate\.weight$", ".mlp.router.weight"),
        (r"\.mlp\.input_linear\.weight$", ".mlp.experts.gate_up_proj"),
        (r"\.mlp\.output_linear\.weight$", ".mlp.experts.down_proj"),
        (r"(\.experts\.\d+)\.w1\.", r"\1.gate_proj."),
        (r"(\.experts\.\d+)\.w3\.", r"\1.up_proj."),
        (r"(\.experts\.\d+)\.w2\.", r"\1.down_proj."),
        (r"(\.experts\.(?:gate_up|down)_proj)\.weight$", r"\1"),
        (r"LayerNorm\.gamma$", "LayerNorm.weight"),
        (r"LayerNorm\.beta$", "LayerNorm.bias"),
        (r"\.weight_g$", ".parametrizations.weight.original0"),
        (r"\.weight_v$", ".parametrizations.weight.original1"),
    )
)
"""Older and newer names of the same part, for example of Mixtral, BERT and wav2vec."""

_PACKED = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")
_SINGLE = re.compile(r"(.*\.experts)\.\d+\.(?:gate|up|down)_proj\.weight")
_OTHERS = frozenset({"gpt_oss", "llama4", "llama4_text", "qwen3_vl_moe", "qwen3_vl_moe_text"})
"""Architectures that pack experts transposed, or interleave gate and up rows."""

_COMPARED_AT_ONCE = 1 << 20

_BOTH = ("encoder.embed_tokens", "decoder.embed_tokens")
_COPIES = tuple(
    (re.compile(pattern), originals)
    for pattern, originals in (
        (r"(.*\b(?:lm_head|predictions)\.)(?:decoder\.)?bias", (r"\1bias", r"\1decoder.bias")),
        (
            rf"(|.*\.)(?:shared|{'|'.join(_BOTH)})\.weight",
            tuple(rf"\1{word}.weight" for word in ("shared", *_BOTH)),
        ),
    )
)  # fmt: skip
"""Names of a weight, and the other names it may have; for heads see `names_of`."""


def common_key(name: str) -> str:
    """Return the same key for all spellings of a tensor's name.

    Example:
        >>> common_key("language_model.model.layers.0.mlp.up_proj.weight")
        'layers.0.mlp.up_proj.weight'
        >>> common_key("model.layers.0.block_sparse_moe.experts.3.w2.weight")
        'layers.0.mlp.experts.3.down_proj.weight'
    """
    word, dot, rest = name.partition(".")
    while dot and word in _PACKAGING and rest not in ("weight", "bias"):
        name = rest
        word, dot, rest = name.partition(".")
    for pattern, new in _RENAMED:
        name = pattern.sub(new, name)
    return name


def keyed(names: Iterable[str]) -> dict[str, str]:
    """Return names by key; by themselves if two names have the same key."""
    names = list(names)
    found = {common_key(name): name for name in names}
    return found if len(found) == len(names) else {name: name for name in names}


def common_names(models: Sequence[Iterable[str]]) -> list[dict[str, str]]:
    """Return for each model a mapping from its names to common ones, by default the first model's.

    A model saved without its head has names like ``h.0.…``, the same model with its head
    ``transformer.h.0.…``: then the longer names are used. A head has the same name in both.
    """
    keys = [keyed(names) for names in models]
    if any(mine.keys() == {*mine.values()} for mine in keys):
        keys = [{name: name for name in mine.values()} for mine in keys]
    words = [next(filter(None, (_word(mine, other) for other in keys)), "") for mine in keys]
    keys = [
        {key if is_head(key) else word + key: name for key, name in mine.items()}
        for word, mine in zip(words, keys, strict=True)
    ]
    first = next((other for other in keys if _word_before(keys[0], other)), keys[0])
    chosen = dict(first)
    for mine in keys:
        word = _word_before(mine, first)
        for key, name in mine.items():
            chosen.setdefault(key, name if is_head(key) else word + name)
    return [{name: chosen[key] for key, name in mine.items()} for mine in keys]


def _word(keys: Iterable[str], others: Iterable[str]) -> str:
    """Return the prefix with which most keys of a model are keys of another, or ""."""
    mine, theirs = ({key for key in some if not is_head(key)} for some in (keys, others))
    if theirs.isdisjoint(mine):
        for word in dict.fromkeys(key.partition(".")[0] + "." for key in others):
            if 2 * sum(word + key in theirs for key in mine) > len(mine):
                return word
    return ""


def _word_before(mine: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return the one prefix that another model's names have before this model's, or ""."""
    pairs = [(mine[key], other[key]) for key in mine if key in other and not is_head(key)]
    words = {longer.removesuffix(name) for name, longer in pairs if longer.endswith(name)}
    if len(words) != 1 or any(not longer.endswith(name) for name, longer in pairs):
        return ""
    (word,) = words
    return word if word.count(".") == 1 and word.endswith(".") else ""


def experts_one_by_one(names: Iterable[str]) -> set[str]:
    """Return the prefixes of experts that are stored one by one."""
    return {found[1] for name in names if (found := _SINGLE.fullmatch(common_key(name)))}


def unpacked(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], wanted: Container[str]
) -> dict[str, StoredTensor]:
    """Return the tensors with packed experts split into one tensor per expert and matrix.

    Packed shapes are (experts, gate rows then up rows, columns) and (experts, rows, columns);
    architectures with another order are left as they are. ``wanted`` are the prefixes of the
    experts to split, from `experts_one_by_one`.
    """
    kinds = {config.get("model_type"), language_config(config).get("model_type")}
    result: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        found = _PACKED.fullmatch(common_key(name))
        if found and found[1] in wanted and len(tensor.shape) == 3 and kinds.isdisjoint(_OTHERS):
            result |= _parts(name, tensor, found[2])
        else:
            result[name] = tensor
    return result


def _parts(name: str, tensor: StoredTensor, matrix: str) -> dict[str, StoredTensor]:
    experts, rows, columns = tensor.shape
    before = name[: name.rindex("." + matrix)]
    words = ("gate_proj", "up_proj") if matrix == "gate_up_proj" else (matrix,)
    rows //= len(words)
    nbytes = rows * columns * BYTES_PER_ELEMENT[tensor.dtype]
    parts = [f"{before}.{expert}.{word}.weight" for expert in range(experts) for word in words]
    return {
        part: replace(tensor, name=part, shape=(rows, columns), start=tensor.start + at * nbytes)
        for at, part in enumerate(parts)
    }


def names_of(name: str, tensors: Mapping[str, Described], config: Mapping[str, Any]) -> list[str]:
    """Return the names under which a model may store a weight, the original's first.

    A head's original is the embedding, whatever the configuration says.
    """
    if is_head(name):
        return [*filter(None, [embedding(tensors, config)]), name]
    if is_embedding(name) and embedding(tensors, config) is None:
        return [name, *filter(None, [head(tensors)])]
    for pattern, others in _COPIES:
        found = pattern.fullmatch(name)
        if found and config.get("share_encoder_decoder_embeddings") is not False:
            return [found.expand(other) for other in others]
    return [name]


def same_bytes(one: StoredTensor, other: StoredTensor) -> bool:
    """Whether two tensors have the same type, shape and content.

    Raises:
        ModelError: a file cannot be read.
    """
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    try:
        with one.file.open("rb") as mine, other.file.open("rb") as theirs:
            for at in range(0, one.nbytes, _COMPARED_AT_ONCE):
                count = min(_COMPARED_AT_ONCE, one.nbytes - at)
                mine.seek(one.start + at)
                theirs.seek(other.start + at)
                if mine.read(count) != theirs.read(count):
                    return False
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror}).") from error
    return True
