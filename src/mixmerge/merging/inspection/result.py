"""What `inspect` finds out: the types of its answer, which are also its JSON.

Every number is a fraction, a cosine or a count. A ratio is None where its divisor is zero: a model
that did not change has no direction, so its change has no cosine with another's.
"""

from typing import Literal

from mixmerge.records import RowModel

SIBLING = 0.99
"""Least cosine of siblings: the difference is at most 14 % of the weights."""
COUSIN = 0.3
"""Least cosine of cousins; below it, two models were trained apart."""

Relation = Literal["sibling", "cousin", "stranger"]
"""- ``sibling``: fine-tunes of one model, or one of the other. Made for merging.
- ``cousin``: a common start, but far apart, or with other tokens. A merge may work.
- ``stranger``: tensors that do not fit, or weights that have nothing in common. A merge is noise.
"""


class ModelSummary(RowModel):
    """What the headers and the configuration of one model say."""

    name: str
    """The last parts of its reference: as many as tell the models apart."""
    reference: str
    """What was asked for: a folder, a hub name, or ``MODEL+ADAPTER``."""
    architecture: str
    """The model class, for example ``CohereForCausalLM``; empty where it is not named."""
    tensors: int
    parameters: int
    """Elements of all tensors; a tied head counts once."""
    nbytes: int
    """Bytes of weights."""
    dtypes: dict[str, int]
    """Tensors of each type (safetensors spelling), most first."""
    layers: int
    """Layers of the longest stack; 0 where no tensor has a number in its name."""
    tied: bool
    """The head is the embedding: the configuration says so, or there is no other."""
    stores_head: bool
    """A head is among the tensors."""
    vocabulary: int
    """Tokens of ``tokenizer.json``; 0 where there is none."""
    rows: int
    """Rows of the token embedding: tokens it has room for; 0 where no tensor looks like one."""


class TokenDifference(RowModel):
    """A token that does not have the same id in two models."""

    token: str
    first_id: int | None
    """None: the first model does not know it."""
    second_id: int | None


class Pair(RowModel):
    """What is said of two models: their names."""

    first: str
    second: str


class VocabularyDifference(Pair):
    """How the tokens of two models differ."""

    same: int
    """Tokens with the same id in both."""
    moved: int
    """Tokens of both with another id in the second."""
    only_first: int
    only_second: int
    examples: tuple[TokenDifference, ...]
    """The first of those that differ, by id."""


class Difference(Pair):
    """How far the weights of two models are apart."""

    relative_size: float | None
    """Norm of (second - first) / norm of first. Where the first is the base, this is the size of
    the second's task vector."""
    cosine: float | None
    """Of the angle between the weights, each taken as one vector."""
    changed: float | None
    """Share of the elements that differ."""
    straight: int
    """Tensors so nearly parallel that SLERP interpolates them linearly (see `DOT_THRESHOLD`)."""


class Interference(Pair):
    """How the task vectors of two models, d and e, get on: what merging adds up."""

    cosine: float | None
    """Of the angle between d and e."""
    opposed: float | None
    """Of the elements that both models moved, the share they moved in opposite directions."""
    cancelled: float | None
    """1 - sum |d + e| / sum (|d| + |e|): the share of both changes that vanishes when they are
    added. 0: they never oppose each other; 1: each undoes the other."""


class Relatedness(Pair):
    """How two models are related, and why we think so."""

    relation: Relation
    cosine: float | None
    """Of the weights by which the models are judged: see `judged_by`."""
    reason: str


class Part(RowModel):
    """Measurements over a tensor, a layer, all tensors of one kind, or a whole model."""

    name: str
    tensors: int
    parameters: int
    """Elements of these tensors in one model."""
    differences: tuple[Difference, ...]
    """For every two models, the base first."""
    interferences: tuple[Interference, ...]
    """For every two models other than the base; empty without a base."""


class Comparison(RowModel):
    """What the weights say, by part."""

    whole: Part
    kinds: tuple[Part, ...]
    """Attention, mlp, norms, ...: see `mixmerge.merging.models.layout.kind_of`."""
    layers: tuple[Part, ...]
    """From the first to the last, stack by stack."""
    tensors: tuple[Part, ...]
    left_out: tuple[str, ...]
    """Tensors that are not in every model with one shape, or are not weights but buffers."""
    relatedness: tuple[Relatedness, ...]
    """For every two models, the base first."""


class Inspection(RowModel):
    """What models hold, how they differ, and why they cannot be merged, if they cannot."""

    models: tuple[ModelSummary, ...]
    """The base first, if there is one."""
    base: str | None
    """Name of the base."""
    vocabularies: tuple[VocabularyDifference, ...]
    """The first model against each whose tokenizer is another."""
    comparison: Comparison | None
    """None: one model, headers only, or no tensor in common."""
    problems: tuple[str, ...]
    """One sentence for each tensor or file that does not fit; empty: they can be merged."""
    notes: tuple[str, ...]
    """Differences that do not prevent a merge, but may make it useless."""

    @property
    def compatible(self) -> bool:
        """Whether the models can be merged."""
        return not self.problems
