"""The sections of a recipe: settings that may differ between tensors, and the tokenizer.

A setting is one value, a gradient, or a list of rules, as in mergekit:

    weight: 0.5
    weight: [0, 0.5, 1]                # first layer 0, middle 0.5, last layer 1, linear between
    weight:
      - filter: self_attn              # tensors whose name contains "self_attn"
        value: [0, 1]
      - value: 0.5                     # all others

Depths of tensors come from `models.layout`; those outside layers (embeddings, final norm, head) get
the first value of a gradient.

The tokenizer section has mergekit's grammar, with the recipe's names of models.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from mixmerge.merging.methods.method import Scalar
from mixmerge.spec_model import SpecModel


def _check_value(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError("a gradient needs at least one value")
        if all(isinstance(item, (bool, int, float, str)) for item in value):
            if len({isinstance(item, (bool, str)) for item in value}) == 1:
                return value
            raise ValueError("a gradient is all numbers, or all switches or words")
    elif isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError("must be one value or a list of values")


def _check_setting(value: Any) -> Any:
    if isinstance(value, (dict, Rule)):
        return (value,)
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, Rule)) for item in value):
        if all(isinstance(item, (dict, Rule)) for item in value):
            return value
        raise ValueError("is a list of rules (`filter`, `value`) or of values, not both")
    return _check_value(value)


Gradient = tuple[Scalar, ...]


class Rule(SpecModel):
    """A value for the tensors whose name contains ``filter``."""

    filter: str | None = None
    """Part of a tensor's name; None or ``*`` matches every tensor."""
    value: Annotated[Scalar | Gradient, BeforeValidator(_check_value)]
    """One value, or a gradient from the first layer to the last."""

    def matches(self, tensor: str) -> bool:
        """Whether the rule applies to a tensor."""
        return self.filter in (None, "*") or str(self.filter) in tensor


Setting = Annotated[Scalar | Gradient | tuple[Rule, ...], BeforeValidator(_check_setting)]
"""The value of a parameter in a recipe."""


def value_for(setting: Setting, tensor: str, depth: float) -> Scalar | None:
    """Return a setting's value for one tensor, or None if no rule matches its name."""
    if isinstance(setting, tuple) and isinstance(setting[0], Rule):
        rules = [rule for rule in setting if isinstance(rule, Rule)]
        matching = next((rule for rule in rules if rule.matches(tensor)), None)
        return None if matching is None else _along(matching.value, depth)
    return _along(setting, depth)


def _along(value: Any, depth: float) -> Scalar:
    """Return a plain value, or a gradient's value at a depth in [0, 1]."""
    if not isinstance(value, tuple):
        scalar: Scalar = value
        return scalar
    position = depth * (len(value) - 1)
    left = int(position)
    chosen: Scalar = value[left]
    share = position - left
    if not share or isinstance(chosen, (bool, str)):
        return chosen
    return float((1 - share) * chosen + share * value[left + 1])


def with_fallback(*settings: Setting) -> Setting:
    """Return one setting that tries several in turn."""
    rules = [rule for setting in settings for rule in _rules(setting)]
    return rules[0].value if rules[0].filter in (None, "*") else tuple(rules)


def _rules(setting: Setting) -> list[Rule]:
    if isinstance(setting, tuple) and isinstance(setting[0], Rule):
        return [rule for rule in setting if isinstance(rule, Rule)]
    return [Rule.model_validate({"value": setting})]


def filters(setting: Setting) -> list[str]:
    """Return the filters of a setting's rules."""
    return [rule.filter for rule in _rules(setting) if rule.filter not in (None, "*")]


def changed(setting: Setting, change: Callable[[Scalar], Scalar]) -> Setting:
    """Return a setting with a function applied to every value."""
    if not isinstance(setting, tuple):
        return change(setting)
    return tuple(
        item.model_copy(update={"value": changed(item.value, change)})
        if isinstance(item, Rule)
        else change(item)
        for item in setting
    )  # type: ignore[return-value]  # rules become rules, and values values


def leaves(setting: Setting) -> list[Scalar]:
    """Return every value in a setting."""
    if not isinstance(setting, tuple):
        return [setting]
    return [
        leaf
        for item in setting
        for leaf in (leaves(item.value) if isinstance(item, Rule) else [item])
    ]


class ZeroRow(SpecModel):
    """A row of zeros."""

    kind: Literal["zero"]


class ModelTokenRow(SpecModel):
    """The row that one model has for one of its tokens, by the token's text or its id."""

    kind: Literal["model_token"]
    model: str
    """Name of an input."""
    token: str | None = None
    token_id: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_one_token(self) -> Self:
        if (self.token is None) == (self.token_id is None):
            raise ValueError("needs either `token` or `token_id`, and not both")
        return self


def _known_kind(value: Any) -> Any:
    """Check the kind first, for a better message than pydantic's."""
    if isinstance(value, dict) and value.get("kind") not in ("zero", "model_token"):
        raise ValueError("`kind` must be zero or model_token")
    return value


class TokenRule(SpecModel):
    """Where the rows of one token come from in the models that lack it."""

    source: Annotated[
        Annotated[ZeroRow | ModelTokenRow, Field(discriminator="kind")] | str | None,
        BeforeValidator(_known_kind),
    ] = None
    """A row of zeros, some model's row for some token, or the name of an input that has this token.
    None: as for every other token."""
    force: bool = False
    """Whether models that have the token get the row as well, in place of their own."""

    @model_validator(mode="after")
    def _has_what_it_forces(self) -> Self:
        if self.force and self.source is None:
            raise ValueError("`force` needs a `source`")
        return self


class TokenizerRecipe(SpecModel):
    """Which tokenizer the output gets; the rows of all models are put into its order."""

    source: str = "union"
    """``union`` of all inputs' tokens, ``base`` (the base's, else the first input's), the name of
    an input, or a folder or hub name."""
    tokens: dict[str, TokenRule] = {}
    """Rules for single tokens; a token that the tokenizer lacks is added to it."""
    pad_to_multiple_of: int | None = Field(default=None, ge=1)
    """Rows of the embedding are rounded up to a multiple of this."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the inputs in the token rules."""
        sources = [rule.source for rule in self.tokens.values()]
        named = [
            source.model if isinstance(source, ModelTokenRow) else source
            for source in sources
            if isinstance(source, (ModelTokenRow, str))
        ]
        return tuple(dict.fromkeys(named))


def _check_rank(value: Any) -> Any:
    if value == "exact" or (isinstance(value, int) and value is not True and value > 0):
        return value
    raise ValueError(f"must be `exact` or a whole number above 0, not {value!r:.40}")


class AdapterRecipe(SpecModel):
    """A result that is a LoRA adapter of the models' common base."""

    rank: Annotated[Literal["exact"] | int, BeforeValidator(_check_rank)] = "exact"
    """``exact`` adds up the adapters' factors, so the rank is the sum of theirs; a number cuts the
    merged change to that rank by its singular values, and the error is reported."""

    @property
    def most(self) -> int | None:
        """The largest rank, or None."""
        return None if self.rank == "exact" else self.rank
