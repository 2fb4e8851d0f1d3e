"""Settings that differ between tensors: name filters, and gradients over the layers.

A setting is one value, a gradient, or a list of rules, as in mergekit:

    weight: 0.5
    weight: [0, 0.5, 1]                # first layer 0, middle 0.5, last layer 1, linear between
    weight:
      - filter: self_attn              # tensors whose name contains "self_attn"
        value: [0, 1]
      - value: 0.5                     # all others

Layers are counted from the tensors' names: the first number in a name is its layer, and the part
before it says which stack of layers it belongs to. Tensors outside of layers (embeddings, final
norm, head) take the first value of a gradient.
"""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict

from mixmerge.merge.methods.method import Scalar

_NUMBERED = re.compile(r"(.*?(?:^|\.))(0|[1-9]\d{0,8})(\.|$)", re.ASCII)


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


class Rule(BaseModel):
    """A value for the tensors whose name contains ``filter``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filter: str | None = None
    """Part of a tensor's name; None or ``*`` matches every tensor."""
    value: Annotated[Scalar | Gradient, BeforeValidator(_check_value)]

    def matches(self, tensor: str) -> bool:
        """Say whether the rule is for the tensor of that name."""
        return self.filter in (None, "*") or str(self.filter) in tensor


Setting = Annotated[Scalar | Gradient | tuple[Rule, ...], BeforeValidator(_check_setting)]
"""What a recipe may write for a parameter."""


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


def depths(tensors: Iterable[str]) -> dict[str, float]:
    """Return for each tensor how deep its layer lies: 0 the first, 1 the last (or the only) one.

    Tensors outside of layers have depth 0, as in mergekit.
    """
    names = list(tensors)
    counts = layers(names)
    return {name: _depth(name, counts) for name in names}


def layers(tensors: Iterable[str]) -> dict[str, int]:
    """Return the number of layers of each stack, by the part of the names before the number."""
    counts: dict[str, int] = {}
    for stack, layer, _ in filter(None, map(place, tensors)):
        counts[stack] = max(counts.get(stack, 0), layer + 1)
    return counts


def _depth(tensor: str, counts: dict[str, int]) -> float:
    found = place(tensor)
    return depth(found.layer, counts[found.stack]) if found else 0.0


def depth(layer: int, count: int) -> float:
    """Return how deep a layer lies among ``count``: 0 the first, 1 the last (or the only) one."""
    return layer / (count - 1) if count > 1 else 1.0


def value_for(setting: Setting, tensor: str, depth: float) -> Scalar | None:
    """Return a setting's value for one tensor, or None where no rule matches its name."""
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
    """Return one setting that answers as the first does, and where that is silent as the next."""
    rules = [rule for setting in settings for rule in _rules(setting)]
    return rules[0].value if rules[0].filter in (None, "*") else tuple(rules)


def _rules(setting: Setting) -> list[Rule]:
    if isinstance(setting, tuple) and isinstance(setting[0], Rule):
        return [rule for rule in setting if isinstance(rule, Rule)]
    return [Rule.model_validate({"value": setting})]


def filters(setting: Setting) -> list[str]:
    """Return the parts of names that a setting asks for."""
    return [rule.filter for rule in _rules(setting) if rule.filter not in (None, "*")]


def changed(setting: Setting, change: Callable[[Scalar], Scalar]) -> Setting:
    """Return a setting with every value replaced by what ``change`` makes of it."""
    if not isinstance(setting, tuple):
        return change(setting)
    return tuple(
        item.model_copy(update={"value": changed(item.value, change)})
        if isinstance(item, Rule)
        else change(item)
        for item in setting
    )  # type: ignore[return-value]  # rules become rules, and values values


def leaves(setting: Setting) -> list[Scalar]:
    """Return every value that a setting mentions."""
    if not isinstance(setting, tuple):
        return [setting]
    return [
        leaf
        for item in setting
        for leaf in (leaves(item.value) if isinstance(item, Rule) else [item])
    ]
