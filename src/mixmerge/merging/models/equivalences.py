"""One weight under several names, in several forms and in several copies: the table of them.

Libraries and their versions store the same model differently, and every loader reads all of it:

- **Names.** The words at the front of a name only say what the parts are packed in; a few words
  inside were renamed over the years. `common_key` leaves out the former and renames the latter, so
  two spellings of a name have the same key.
- **Forms.** The experts of a layer are stored one by one, or as one tensor of three dimensions in
  which they lie one behind the other: each is then a part of the file's bytes.
- **Copies.** A tied head, T5's and BART's embeddings of encoder and decoder, and the biases of
  masked-word heads are one weight under two names, of which a file has one or both.
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
"""First words that only say what a model is wrapped in."""
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
"""Older and newer words for the same part of a model, as Mixtral's, BERT's and wav2vec's."""

_PACKED = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")
_SINGLE = re.compile(r"(.*\.experts)\.\d+\.(?:gate|up|down)_proj\.weight")
_OTHERS = frozenset({"gpt_oss", "llama4", "llama4_text", "qwen3_vl_moe", "qwen3_vl_moe_text"})
"""Kinds of models that pack experts transposed, or gate and up row by row in turn."""

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
"""Names of a weight, and under which others it may be stored; heads and embeddings: `names_of`."""


def common_key(name: str) -> str:
    """Return what all spellings of a tensor's name have in common.

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
    """Return names by their keys; by themselves where two names have the same key."""
    names = list(names)
    found = {common_key(name): name for name in names}
    return found if len(found) == len(names) else {name: name for name in names}


def common_names(models: Sequence[Iterable[str]]) -> list[dict[str, str]]:
    """Return for each model what its tensors are to be called, so that equal weights are named so.

    The first model decides. But one that was saved without its head is called ``h.0.…`` where the
    same model with its head is called ``transformer.h.0.…``: then the longer names count.
    """
    keys = [keyed(names) for names in models]
    if any(mine.keys() == {*mine.values()} for mine in keys):
        keys = [{name: name for name in mine.values()} for mine in keys]
    words = [next(filter(None, (_word(mine, other) for other in keys)), "") for mine in keys]
    keys = [
        {key if _stands_apart(key) else word + key: name for key, name in mine.items()}
        for word, mine in zip(words, keys, strict=True)
    ]
    first = next((other for other in keys if _word_before(keys[0], other)), keys[0])
    chosen = dict(first)
    for mine in keys:
        word = _word_before(mine, first)
        for key, name in mine.items():
            chosen.setdefault(key, name if _stands_apart(key) else word + name)
    return [{name: chosen[key] for key, name in mine.items()} for mine in keys]


def _stands_apart(key: str) -> bool:
    """Say whether a tensor is called the same with and without what the model is wrapped in."""
    return "/" in key or is_head(key)


def _word(keys: Iterable[str], others: Iterable[str]) -> str:
    """Return the word that makes most keys of a model keys of another; empty if there is none."""
    mine, theirs = ({key for key in some if not _stands_apart(key)} for some in (keys, others))
    if theirs.isdisjoint(mine):
        for word in dict.fromkeys(key.partition(".")[0] + "." for key in others):
            if 2 * sum(word + key in theirs for key in mine) > len(mine):
                return word
    return ""


def _word_before(mine: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return the one word that another model's names have before all of this one's, if there is."""
    pairs = [(mine[key], other[key]) for key in mine if key in other and not _stands_apart(key)]
    words = {longer.removesuffix(name) for name, longer in pairs if longer.endswith(name)}
    if len(words) != 1 or any(not longer.endswith(name) for name, longer in pairs):
        return ""
    (word,) = words
    return word if word.count(".") == 1 and word.endswith(".") else ""


def experts_one_by_one(names: Iterable[str]) -> set[str]:
    """Return the keys before the numbers of experts that are stored one by one."""
    return {found[1] for name in names if (found := _SINGLE.fullmatch(common_key(name)))}


def unpacked(
    tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], wanted: Container[str]
) -> dict[str, StoredTensor]:
    """Return the tensors with some packed experts as one tensor for each expert and matrix.

    Packed are (experts, gate rows and then up rows, columns) and (experts, rows, columns).

    Args:
        tensors: of a model, by name.
        config: of the model; experts of kinds that pack in another order stay as they are.
        wanted: what stands before the experts' numbers, as `experts_one_by_one` says.
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
    """Return the names under which a model may store a weight, that of its original first.

    A head's original is the embedding, whatever the configuration says of that.
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
    """Say whether two tensors hold the same numbers in the same type.

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
