"""Which tensor of a model is what, from names, shapes and configuration: no table of architectures.

- The first number in a name is its **layer**, and the part before it the stack of layers that it
  belongs to. The layers of a model are the stack with as many numbers as the configuration says
  layers (that of the language model where the configuration nests one); else the longest stack, of
  which layers beyond the number in the configuration only predict further tokens.
- The **embedding** is a matrix that is called as embeddings are, with a row for each token.
- The **head** is a matrix outside of the layers that is called as heads are. A model without one
  uses its embedding, unless its configuration denies that.
- Of the other tensors outside of the layers, the norm beside them and heads come **after** them and
  everything else before.
- **Buffers** that loaders compute from the configuration are no weights, though some files have
  them.
- What a tensor is **for** follows from the few words that names are made of: ``self_attn``,
  ``attention`` or ``attn``; ``mlp``, ``ffn`` or ``feed_forward``; ``norm`` or ``ln``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

from mixmerge.errors import ModelError
from mixmerge.merging.models.safetensors_io import NewTensor, StoredTensor
from mixmerge.merging.models.sources import Source

_NESTED = ("text_config", "llm_config", "language_config", "decoder")
"""Where configurations of several parts keep that of the language model."""
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""What configurations call the number of layers."""
_EMBEDDINGS = frozenset(
    {"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"}
    | {"embeddings", "embedding", "shared"}
)
_HEAD = re.compile(
    r"(.*\.)?(lm_head|head|embed_out|output|vocab_projector|generator_lm_head|output_projection"
    r"|(predictions|lm_head)\.decoder|pred_layer\.proj)\.weight|(decoder|proj_out)\.weight"
)
_CLASSIFIERS = frozenset({"score", "classifier"})
_FINAL_NORM = re.compile(r"norm|ln_f")
_BESIDE = re.compile(r"vis|image|audio|speech|mtp|nextn")
"""In what stands before the numbers of layers that are not those of the language model."""
_PREDICTIONS = re.compile(r"mtp|nextn")
_NUMBERED = re.compile(r"(.*?(?:^|\.))(0|[1-9]\d{0,8})(\.|$)", re.ASCII)

Kind = Literal["embedding", "attention", "mlp", "norm", "head", "other"]
"""What a tensor is for. ``other``: its name says nothing known, for example state-space blocks."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_NORM = re.compile(r"norm|^ln(\d|_|$)|_ln$", re.IGNORECASE)
_EMBEDDING = re.compile(r"emb|^(wte|wpe|shared)$", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention|^att$|^[qkvo]_proj$", re.IGNORECASE)
_MLP = re.compile(
    r"mlp|ffn|feed_?forward|expert|moe|densereludense|^fc\d$|^(intermediate|output)$", re.IGNORECASE
)


Described = StoredTensor | NewTensor | Source
"""What says the type and the shape of a tensor."""


class Stack(NamedTuple):
    """A run of numbered layers."""

    prefix: str
    """What stands before the number, for example ``model.layers.``."""
    layers: int


def language_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a configuration that describes the language model."""
    nested = (config.get(key) for key in _NESTED)
    return next((part for part in nested if isinstance(part, dict)), config)


def layer_count(config: Mapping[str, Any]) -> int | None:
    """Return how many layers a configuration says the language model has, if it says so."""
    stated = (language_config(config).get(key) for key in LAYER_COUNTS)
    return next((count for count in stated if isinstance(count, int)), None)


def main_stacks(tensors: Iterable[str], config: Mapping[str, Any]) -> list[Stack]:
    """Return the layers of the language model, all stacks that they could be.

    The configuration says how many there are: what is numbered beyond that predicts further tokens,
    and is no layer.
    """
    stacks = [Stack(prefix, number) for prefix, number in layers(tensors).items()]
    text = [stack for stack in stacks if not _BESIDE.search(stack.prefix)]
    count = layer_count(config) or 0
    for some in (text, stacks):
        stated = [stack for stack in some if stack.layers == count]
        longest = max((stack.layers for stack in some), default=0)
        if stated or (longest > count > 0):
            return stated or [Stack(each.prefix, count) for each in some if each.layers == longest]
    return [stack for stack in stacks if stack.layers == longest]


def layer_stack(name: str, tensors: Iterable[str], config: Mapping[str, Any]) -> Stack:
    """Find the layers of a model that a recipe's ``layer_range`` counts.

    Raises:
        ModelError: no tensor has a number, or several stacks are equally long.
    """
    names = list(tensors)
    found = main_stacks(names, config)
    if not found:
        raise ModelError(
            f"{name}: no tensor's name has the number of a layer; it cannot be sliced."
        )
    if len(found) > 1:
        shown = " and ".join(f"{stack.prefix}*" for stack in found)
        raise ModelError(
            f"{name}: {shown} have {found[0].layers} layers each, so `layer_range` could mean "
            "either; only models with one such stack can be sliced."
        )
    if found[0].layers > len(names):
        raise ModelError(
            f"{name}: {found[0].prefix}* counts to {found[0].layers:,} layers, which "
            f"{len(names):,} tensors cannot be; it cannot be sliced."
        )
    return found[0]


def _module(tensor: str) -> str:
    """Return the last word of a name before ``weight``."""
    words = tensor.removesuffix(".weight").split(".")
    return words[-1]


def embedding(tensors: Mapping[str, Described], config: Mapping[str, Any]) -> str | None:
    """Return the name of the token embedding, or None where no tensor looks like one."""
    found = [
        name for name, tensor in tensors.items() if is_embedding(name) and len(tensor.shape) == 2
    ]
    rows = language_config(config).get("vocab_size")
    exact = [name for name in found if tensors[name].shape[0] == rows]
    # What is shared is the original of the embeddings of encoder and decoder.
    return min(exact or found, key=lambda name: _module(name) != "shared", default=None)


def is_embedding(tensor: str) -> bool:
    """Say whether a tensor is called as token embeddings are."""
    return _module(tensor) in _EMBEDDINGS


def is_head(tensor: str) -> bool:
    """Say whether a tensor is called as the matrix is that gives every token its score.

    Inside of layers the same words mean other things: RWKV's attention has an ``output``.
    """
    return _HEAD.fullmatch(tensor) is not None and place(tensor) is None


def head(tensors: Iterable[str]) -> str | None:
    """Return the name of the stored head, or None where the head is the embedding."""
    return next(filter(is_head, tensors), None)


def denies_tied_head(config: Mapping[str, Any]) -> bool:
    """Say whether a configuration says that the head is not the embedding."""
    return _stated_tie(config) is False


def says_tied_head(config: Mapping[str, Any]) -> bool:
    """Say whether a configuration says that the head is the embedding."""
    return _stated_tie(config) is True


def _stated_tie(config: Mapping[str, Any]) -> object:
    return config.get("tie_word_embeddings", language_config(config).get("tie_word_embeddings"))


def comes_after_layers(tensor: str, layers: str) -> bool:
    """Say whether a tensor outside of the layers is called as final norms and heads are.

    Their norm stands beside them; one elsewhere belongs to something else, as to a vision tower.
    ``layers`` is what stands before their numbers.
    """
    module = tensor.removesuffix(".weight").removesuffix(".bias")
    if is_head(module + ".weight") or module in _CLASSIFIERS:
        return True
    parent, dot, _ = layers.removesuffix(".").rpartition(".")
    beside = module.removeprefix(parent + dot) if module.startswith(parent + dot) else "."
    return "." not in beside and "emb" not in beside and bool(_FINAL_NORM.search(beside))


_WAVES = frozenset({"marian", "pegasus"})
"""Kinds of models whose positions are sines."""
_RECOMPUTED = re.compile(
    r"(.*\.)?((original_)?inv_freq|(cos|sin)_cached|masked_bias|causal_mask|attn_mask"
    r"|position_ids|token_type_ids|relative_position_index|embed_positions\.weights)"
)


def is_recomputed(tensor: str, shape: Sequence[int]) -> bool:
    """Say whether a tensor is a buffer that older checkpoints store and every loader makes anew.

    These are the frequencies of rotary embeddings, numbers of positions, and causal masks, as those
    of GPT-2 and its kin.
    """
    is_mask = tensor.endswith(".bias") and len(shape) == 4 and tuple(shape[:2]) == (1, 1)
    return is_mask or _RECOMPUTED.fullmatch(tensor) is not None


def is_untrained(tensor: str, config: Mapping[str, Any]) -> bool:
    """Say whether a tensor is stored and no weight: training steps counted, or sines of positions.

    Files may lack it, or have another number, and are as good.
    """
    is_wave = tensor.endswith("embed_positions.weight") and config.get("model_type") in _WAVES
    return is_wave or tensor.endswith("num_batches_tracked")


def belongs_to_embedding(tensor: str) -> bool:
    """Say whether a tensor is called as embeddings of tokens and positions are."""
    return "emb" in tensor or _module(tensor) in {"wte", "wpe"}


class Place(NamedTuple):
    """Where a tensor stands in a stack of layers."""

    stack: str
    """What stands before the number, for example ``model.layers.``."""
    layer: int
    rest: str
    """What stands after the number, for example ``.mlp.up_proj.weight``."""


def place(tensor: str) -> Place | None:
    """Return where a tensor stands, or None where its name has no number."""
    found = _NUMBERED.match(tensor)
    return found and Place(found[1], int(found[2]), tensor[found.end(2) :])


def depths(tensors: Iterable[str], config: Mapping[str, Any]) -> dict[str, float]:
    """Return for each tensor how deep its layer lies: 0 the first, 1 the last (or the only) one.

    Tensors outside of layers have depth 0, as in mergekit; layers that predict further tokens lie
    as deep as the last one.
    """
    places = {name: place(name) for name in tensors}
    counts = _count(places.values())
    counts |= {stack.prefix: stack.layers for stack in main_stacks(places, config)}
    counts |= {prefix: 1 for prefix in counts if _PREDICTIONS.search(prefix)}
    return {
        name: depth(found.layer, counts[found.stack]) if found else 0.0
        for name, found in places.items()
    }


def layers(tensors: Iterable[str]) -> dict[str, int]:
    """Return the number of layers of each stack, by the part of the names before the number."""
    return _count(map(place, tensors))


def _count(places: Iterable[Place | None]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stack, layer, _ in filter(None, places):
        counts[stack] = max(counts.get(stack, 0), layer + 1)
    return counts


def depth(layer: int, count: int) -> float:
    """Return how deep a layer lies among ``count``: 0 the first, 1 the last (or the only) one."""
    return min(1.0, layer / (count - 1)) if count > 1 else 1.0


@cache
def kind_of(tensor: str) -> Kind:
    """Say what a tensor is for.

    A norm is known by the last word of its name (``post_attention_layernorm`` is no attention),
    embeddings and heads are looked for outside of the layers only, and the parts of a layer are
    known by any word.
    """
    words = re.sub(r"(\.\d+)?(\.(weight|bias))?$", "", tensor).split(".")
    last = words[-1]
    if _NORM.search(last):
        return "norm"
    if place(tensor) is None:
        if is_head(".".join([*words, "weight"])):
            return "head"
        if any(_EMBEDDING.search(word) for word in words):
            return "embedding"
    if any(_ATTENTION.search(word) for word in words):
        return "attention"
    return "mlp" if any(_MLP.search(word) for word in words) else "other"
