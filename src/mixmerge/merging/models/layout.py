"""What each tensor of a model is, from names, shapes and configuration; no table of architectures.

- The first number in a name is its **layer**, and the part before it the **stack** it belongs to.
  The model's layers are the stack with as many numbers as the configuration says layers (of the
  language model, if the configuration nests one); otherwise the longest stack, of which layers
  beyond the configured number only predict further tokens.
- The **embedding** is a matrix with an embedding's name and one row per token.
- The **head** is a matrix outside the layers with a head's name. A model without one uses its
  embedding, unless its configuration says otherwise.
- Of the other tensors outside the layers, the final norm and heads come **after** the layers, the
  rest before.
- **Buffers** that loaders compute from the configuration are not weights, though some files have
  them.
- The **kind** of a tensor follows from a few common words: ``self_attn``, ``attention`` or
  ``attn``; ``mlp``, ``ffn`` or ``feed_forward``; ``norm`` or ``ln``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

from mixmerge.errors import ModelError
from mixmerge.merging.models.safetensors_io import NewTensor, StoredTensor
from mixmerge.merging.models.sources import Source

_NESTED = ("text_config", "llm_config", "language_config", "decoder")
"""Keys of a nested language-model configuration."""
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Keys of the number of layers."""
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
"""In prefixes of layers that do not belong to the language model."""
_PREDICTIONS = re.compile(r"mtp|nextn")
_NUMBERED = re.compile(r"(.*?(?:^|\.))(0|[1-9]\d{0,8})(\.|$)", re.ASCII)

Kind = Literal["embedding", "attention", "mlp", "norm", "head", "other"]
"""``other``: the name has no known word, for example in state-space blocks."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_NORM = re.compile(r"norm|^ln(\d|_|$)|_ln$", re.IGNORECASE)
_EMBEDDING = re.compile(r"emb|^(wte|wpe|shared)$", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention|^att$|^[qkvo]_proj$", re.IGNORECASE)
_MLP = re.compile(
    r"mlp|ffn|feed_?forward|expert|moe|densereludense|^fc\d$|^(intermediate|output)$", re.IGNORECASE
)


Described = StoredTensor | NewTensor | Source
"""Anything with a tensor's type and shape."""


class Stack(NamedTuple):
    """A run of numbered layers."""

    prefix: str
    """The part of names before the number, for example ``model.layers.``."""
    layers: int


def language_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a configuration that describes the language model."""
    nested = (config.get(key) for key in _NESTED)
    return next((part for part in nested if isinstance(part, dict)), config)


def layer_count(config: Mapping[str, Any]) -> int | None:
    """Return the language model's number of layers, if the configuration has it."""
    stated = (language_config(config).get(key) for key in LAYER_COUNTS)
    return next((count for count in stated if isinstance(count, int)), None)


def main_stacks(tensors: Iterable[str], config: Mapping[str, Any]) -> list[Stack]:
    """Return the stacks that could be the layers of the language model.

    Layers beyond the configured number predict further tokens and do not count.
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
    """Return the layers that a recipe's ``layer_range`` counts.

    Raises:
        ModelError: no tensor has a number, or several stacks are equally long.
    """
    names = list(tensors)
    found = main_stacks(names, config)
    if not found:
        raise ModelError(f"{name}: no tensor name contains a layer number, so it cannot be sliced.")
    if len(found) > 1:
        shown = " and ".join(f"{stack.prefix}*" for stack in found)
        raise ModelError(
            f"{name}: {shown} have {found[0].layers} layers each, so `layer_range` could mean "
            "either; only models with one such stack can be sliced."
        )
    if found[0].layers > len(names):
        raise ModelError(
            f"{name}: {found[0].prefix}* is numbered up to {found[0].layers:,} layers, but "
            f"there are only {len(names):,} tensors; it cannot be sliced."
        )
    return found[0]


def _module(tensor: str) -> str:
    words = tensor.removesuffix(".weight").split(".")
    return words[-1]


def embedding(tensors: Mapping[str, Described], config: Mapping[str, Any]) -> str | None:
    """Return the name of the token embedding, or None if no tensor looks like one."""
    found = [
        name for name, tensor in tensors.items() if is_embedding(name) and len(tensor.shape) == 2
    ]
    rows = language_config(config).get("vocab_size")
    exact = [name for name in found if tensors[name].shape[0] == rows]
    # ``shared`` is the original of which encoder and decoder embeddings are copies.
    return min(exact or found, key=lambda name: _module(name) != "shared", default=None)


def is_embedding(tensor: str) -> bool:
    """Whether a tensor has a token embedding's name."""
    return _module(tensor) in _EMBEDDINGS


def is_head(tensor: str) -> bool:
    """Whether a tensor has the name of a language-model head.

    Inside layers the same words mean other things: RWKV's attention has an ``output``.
    """
    return _HEAD.fullmatch(tensor) is not None and place(tensor) is None


def head(tensors: Iterable[str]) -> str | None:
    """Return the name of the stored head, or None if the embedding is the head."""
    return next(filter(is_head, tensors), None)


def denies_tied_head(config: Mapping[str, Any]) -> bool:
    """Whether a configuration says that the head is not tied to the embedding."""
    return _stated_tie(config) is False


def says_tied_head(config: Mapping[str, Any]) -> bool:
    """Whether a configuration says that the head is tied to the embedding."""
    return _stated_tie(config) is True


def _stated_tie(config: Mapping[str, Any]) -> object:
    return config.get("tie_word_embeddings", language_config(config).get("tie_word_embeddings"))


def comes_after_layers(tensor: str, layers: str) -> bool:
    """Whether a tensor outside the layers is a final norm or a head.

    The final norm has the same parent as the layers (``layers`` is their prefix); a norm elsewhere
    belongs to something else, such as a vision tower.
    """
    module = tensor.removesuffix(".weight").removesuffix(".bias")
    if is_head(module + ".weight") or module in _CLASSIFIERS:
        return True
    parent, dot, _ = layers.removesuffix(".").rpartition(".")
    beside = module.removeprefix(parent + dot) if module.startswith(parent + dot) else "."
    return "." not in beside and "emb" not in beside and bool(_FINAL_NORM.search(beside))


_WAVES = frozenset({"marian", "pegasus"})
"""Architectures with sinusoidal positions."""
_RECOMPUTED = re.compile(
    r"(.*\.)?((original_)?inv_freq|(cos|sin)_cached|masked_bias|causal_mask|attn_mask"
    r"|position_ids|token_type_ids|relative_position_index|embed_positions\.weights)"
)


def is_recomputed(tensor: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is a buffer that older checkpoints store and every loader recomputes.

    These are rotary frequencies, position ids, and causal masks like GPT-2's.
    """
    is_mask = tensor.endswith(".bias") and len(shape) == 4 and tuple(shape[:2]) == (1, 1)
    return is_mask or _RECOMPUTED.fullmatch(tensor) is not None


def is_untrained(tensor: str, config: Mapping[str, Any]) -> bool:
    """Whether a stored tensor is not a weight: a step counter, or sinusoidal positions.

    Files may lack it or have another value without harm.
    """
    is_wave = tensor.endswith("embed_positions.weight") and config.get("model_type") in _WAVES
    return is_wave or tensor.endswith("num_batches_tracked")


def belongs_to_embedding(tensor: str) -> bool:
    """Whether a tensor has the name of a token or position embedding."""
    return "emb" in tensor or _module(tensor) in {"wte", "wpe"}


class Place(NamedTuple):
    """A tensor's position in a stack of layers."""

    stack: str
    """The prefix of the stack, for example ``model.layers.``."""
    layer: int
    rest: str
    """The part of the name after the number, for example ``.mlp.up_proj.weight``."""


def place(tensor: str) -> Place | None:
    """Return a tensor's position, or None if its name has no number."""
    found = _NUMBERED.match(tensor)
    return found and Place(found[1], int(found[2]), tensor[found.end(2) :])


def depths(tensors: Iterable[str], config: Mapping[str, Any]) -> dict[str, float]:
    """Return the depth of each tensor's layer: 0 for the first, 1 for the last (or only) one.

    Tensors outside layers have depth 0, as in mergekit; layers that predict further tokens have the
    depth of the last one.
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
    """Return the number of layers of each stack, by prefix."""
    return _count(map(place, tensors))


def _count(places: Iterable[Place | None]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stack, layer, _ in filter(None, places):
        counts[stack] = max(counts.get(stack, 0), layer + 1)
    return counts


def depth(layer: int, count: int) -> float:
    """Return a layer's depth among ``count``: 0 for the first, 1 for the last (or only) one."""
    return min(1.0, layer / (count - 1)) if count > 1 else 1.0


@cache
def kind_of(tensor: str) -> Kind:
    """Return a tensor's kind.

    A norm is known by the last word of its name (``post_attention_layernorm`` is not attention),
    embeddings and heads only exist outside layers, and parts of a layer are known by any word.
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
