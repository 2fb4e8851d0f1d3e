"""The types of `inspect`'s result, which are also its JSON.

Every number is a fraction, a cosine or a count. A ratio is None if its divisor is zero: a model
that did not change has no direction, so its change has no cosine with another's.
"""

from typing import Literal

from mixmerge.records import RowModel
from mixmerge.records.behaviour import Behaviour

SIBLING = 0.99
"""Least cosine of siblings: they differ by at most 14 % of the weights' norm."""
COUSIN = 0.3
"""Least cosine of cousins; below it, two models were trained independently."""

Relation = Literal["sibling", "cousin", "stranger"]
"""- ``sibling``: fine-tunes of one model, or one of the other. Good to merge.
- ``cousin``: a common start, but far apart, or with other tokens. A merge may work.
- ``stranger``: tensors that do not fit, or unrelated weights. A merge is noise.
"""


class ModelSummary(RowModel):
    """The headers and the configuration of one model, in numbers."""

    name: str
    """The last parts of its reference, as many as tell the models apart."""
    reference: str
    """As given: a folder, a hub name, or ``MODEL+ADAPTER``."""
    architecture: str
    """The model class, for example ``CohereForCausalLM``; empty if not configured."""
    tensors: int
    parameters: int
    """Elements of all tensors; a tied head counts once."""
    nbytes: int
    """Bytes of weights."""
    dtypes: dict[str, int]
    """Tensors of each type (safetensors spelling), most first."""
    layers: int
    """Layers of the longest stack; 0 if no tensor name has a number."""
    tied: bool
    """Whether the head is the embedding: it is configured, or there is no other head."""
    stores_head: bool
    """Whether a head is stored."""
    vocabulary: int
    """Tokens in ``tokenizer.json``; 0 without one."""
    rows: int
    """Rows of the token embedding; 0 if no tensor looks like one."""


class TokenDifference(RowModel):
    """A token with different ids in two models."""

    token: str
    first_id: int | None
    """None: not in the first model."""
    second_id: int | None


class Pair(RowModel):
    """Anything about two models, with their names."""

    first: str
    second: str


class VocabularyDifference(Pair):
    """How the vocabularies of two models differ."""

    same: int
    """Tokens with the same id in both."""
    moved: int
    """Tokens of both with another id in the second."""
    only_first: int
    only_second: int
    examples: tuple[TokenDifference, ...]
    """The first of those that differ, by id."""


class Difference(Pair):
    """How far apart the weights of two models are."""

    relative_size: float | None
    """Norm of (second - first) / norm of first. Where the first is the base, this is the size of
    the second's task vector."""
    cosine: float | None
    """Of the angle between the weights, each taken as one vector."""
    changed: float | None
    """Share of the elements that differ."""
    straight: int
    """Tensors that SLERP interpolates linearly (see `DOT_THRESHOLD`)."""


class Interference(Pair):
    """How the task vectors d and e of two models interact when they are added."""

    cosine: float | None
    """Of the angle between d and e."""
    opposed: float | None
    """Share of opposite directions among the elements that both models changed."""
    cancelled: float | None
    """1 - sum |d + e| / sum (|d| + |e|): the share of the changes lost in the sum. 0: they never
    oppose each other; 1: each undoes the other."""


class Relatedness(Pair):
    """How two models are related, and why."""

    relation: Relation
    cosine: float | None
    """Of the weights in `judged_by`."""
    reason: str


class Part(RowModel):
    """Measurements over a tensor, a layer, all tensors of one kind, or a whole model."""

    name: str
    tensors: int
    parameters: int
    """Elements of these tensors in one model."""
    differences: tuple[Difference, ...]
    """For every pair of models, the base first."""
    interferences: tuple[Interference, ...]
    """For every pair of models other than the base; empty without a base."""


class Comparison(RowModel):
    """The comparison of weights, by part."""

    whole: Part
    kinds: tuple[Part, ...]
    """Attention, mlp, norms, ...: see `mixmerge.merging.models.layout.kind_of`."""
    layers: tuple[Part, ...]
    """First to last, stack by stack."""
    tensors: tuple[Part, ...]
    left_out: tuple[str, ...]
    """Tensors that some model lacks or has in another shape, and buffers."""
    relatedness: tuple[Relatedness, ...]
    """For every two models, the base first."""


class Inspection(RowModel):
    """What models contain, how they differ, and why they cannot be merged, if so."""

    models: tuple[ModelSummary, ...]
    """The base first, if there is one."""
    base: str | None
    """Name of the base."""
    vocabularies: tuple[VocabularyDifference, ...]
    """The first model against each with another tokenizer."""
    comparison: Comparison | None
    """None: one model, headers only, or no tensor in common."""
    behaviour: Behaviour | None = None
    """How alike the models answer; None: there were no prompts."""
    problems: tuple[str, ...]
    """One sentence per tensor or file that does not fit; empty: they can be merged."""
    notes: tuple[str, ...]
    """Differences that do not prevent a merge but may spoil it."""

    @property
    def compatible(self) -> bool:
        """Whether the models can be merged."""
        return not self.problems
