"""What a tensor is for, from its name alone: no table of architectures.

Names differ between families, but they are made of few words: ``self_attn``, ``attention`` or
``attn``; ``mlp``, ``ffn`` or ``feed_forward``; ``norm`` or ``ln``; ``embed`` or ``wte``.
"""

import re
from typing import Literal, NamedTuple, get_args

Kind = Literal["embedding", "attention", "mlp", "norm", "head", "other"]
"""What a tensor is for. ``other``: its name says nothing known, for example state-space blocks."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_NORM = re.compile(r"norm|^ln(_|$)", re.IGNORECASE)
_HEAD = re.compile(r"^(lm_head|head|embed_out|output|output_layer|score|classifier)$")
_EMBEDDING = re.compile(r"emb|^(wte|wpe|shared)$", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention|^att$|^[qkvo]_proj$", re.IGNORECASE)
_MLP = re.compile(
    r"mlp|ffn|feed_?forward|expert|moe|densereludense|^fc\d$|^(intermediate|output)$", re.IGNORECASE
)
_NUMBERED = re.compile(r"(?P<stack>.*?(?:^|\.))(?P<layer>\d+)(?:\.|$)")


class Layer(NamedTuple):
    """One of a stack of layers."""

    stack: str
    """What stands before the number in its tensors' names, for example ``model.layers.``."""
    number: int


def layer_of(tensor: str) -> Layer | None:
    """Return the layer that a tensor belongs to, by the first number in its name."""
    place = _NUMBERED.match(tensor)
    return Layer(place["stack"], int(place["layer"])) if place else None


def kind_of(tensor: str) -> Kind:
    """Say what a tensor is for.

    A norm is known by the last word of its name (``post_attention_layernorm`` is no attention),
    embeddings and heads are looked for outside of the layers only, and the parts of a layer are
    known by any word, the innermost first.
    """
    words = re.sub(r"\.(weight|bias)$", "", tensor).split(".")
    last = words[-1]
    if _NORM.search(last):
        return "norm"
    if layer_of(tensor) is None:
        if _HEAD.search(last):
            return "head"
        if any(_EMBEDDING.search(word) for word in words):
            return "embedding"
    for word in reversed(words):
        if _ATTENTION.search(word):
            return "attention"
    return "mlp" if any(_MLP.search(word) for word in words) else "other"
