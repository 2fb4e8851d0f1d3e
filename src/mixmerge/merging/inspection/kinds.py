"""What a tensor is for, from its name alone: no table of architectures.

Names differ between families, but they are made of few words: ``self_attn``, ``attention`` or
``attn``; ``mlp``, ``ffn`` or ``feed_forward``; ``norm`` or ``ln``; ``embed`` or ``wte``.
"""

import re
from functools import cache
from typing import Literal, get_args

from mixmerge.merging.models.layers import place
from mixmerge.merging.models.layout import is_head

Kind = Literal["embedding", "attention", "mlp", "norm", "head", "other"]
"""What a tensor is for. ``other``: its name says nothing known, for example state-space blocks."""

KINDS: tuple[Kind, ...] = get_args(Kind)

_NORM = re.compile(r"norm|^ln(\d|_|$)|_ln$", re.IGNORECASE)
_EMBEDDING = re.compile(r"emb|^(wte|wpe|shared)$", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention|^att$|^[qkvo]_proj$", re.IGNORECASE)
_MLP = re.compile(
    r"mlp|ffn|feed_?forward|expert|moe|densereludense|^fc\d$|^(intermediate|output)$", re.IGNORECASE
)


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
