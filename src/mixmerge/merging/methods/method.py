"""The declaration of a merge method: name, parameters, and one function of tensors."""

import keyword
import math
import reprlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mixmerge.merging.streaming.tensor import TileFunction

Scalar = bool | int | float | str
"""One value of one parameter."""

Arguments = Mapping[str, Scalar | tuple[Scalar, ...]]
"""All parameters for one tensor; a per-model parameter has one value per model."""

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Parameter:
    """A number, switch or choice of a recipe; see `number`, `switch`, `choice`."""

    name: str
    kind: Literal["number", "switch", "choice"]
    default: Scalar | None
    """None: a recipe must give a value."""
    per_model: bool = False
    """Whether each model has its own value."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    choices: tuple[str, ...] = ()
    by_output: bool = False
    """Whether filters on a per-model value use the tensor's name in the output, which differs if
    slices renumber layers."""

    @property
    def argument(self) -> str:
        """The name of the method's argument, with ``_`` after a Python keyword: ``lambda_``."""
        return self.name + "_" if keyword.iskeyword(self.name) else self.name

    def problem(self, value: Scalar) -> str | None:
        """Return what is wrong with a value, or None."""
        if self.kind == "switch":
            # Not 0 or 1: a gradient between them would have other values.
            known = isinstance(value, bool)
            return None if known else f"must be true or false, not {reprlib.repr(value)}"
        if self.kind == "choice":
            choices = " or ".join(self.choices)
            named = value in self.choices
            return None if named else f"must be {choices}, not {reprlib.repr(value)}"
        if isinstance(value, (bool, str)) or not abs(value) <= _LARGEST:
            return f"must be a finite number, not {reprlib.repr(value)}"
        low, high = self.bounds
        return None if low <= value <= high else f"must be from {low:g} to {high:g}, not {value!r}"


def number(
    name: str,
    default: float | None = None,
    *,
    per_model: bool = False,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    by_output: bool = False,
) -> Parameter:
    """Declare a finite number; it is required if it has no default."""
    return Parameter(name, "number", default, per_model, bounds, by_output=by_output)


def switch(name: str, default: bool) -> Parameter:
    """Declare a switch, for all models together."""
    return Parameter(name, "switch", default)


def choice(name: str, *choices: str) -> Parameter:
    """Declare a choice of words, for all models together; the first is the default."""
    return Parameter(name, "choice", choices[0], choices=choices)


def never_wrong(arguments: Arguments) -> str | None:  # noqa: ARG001
    """Accept any values: the default of `Method.problem`."""
    return None


@dataclass(frozen=True)
class Method:
    """A merge method: everything the rest of mixmerge knows about it."""

    name: str
    paper: str
    """Where it was published."""
    parameters: tuple[Parameter, ...]
    merge: "Callable[..., TileFunction]"
    """``merge(tensor, **arguments)`` examines a whole `Tensor` and returns a function of a tile."""
    base: Literal["required", "optional", "none"] = "none"
    """Whether it uses differences from a base model."""
    models: tuple[int, int | None] = (1, None)
    """Fewest and most models, without the base."""
    by_row: bool = False
    """Whether its tiles must hold whole rows (the last dimension)."""
    version: int = 2
    """Raised by hand when the same recipe and seed give other numbers."""
    problem: Callable[[Arguments], str | None] = never_wrong
    """Returns what is wrong with one tensor's values taken together."""
    shares: Callable[..., list[float]] | None = None
    """For a weighted sum of models, ``shares(**arguments)`` returns their weights; a base has what
    is missing to one. Adapters are then added up exactly."""

    def parameter(self, name: str) -> Parameter | None:
        """Return a parameter by name, or None."""
        return next((known for known in self.parameters if known.name == name), None)


def zero_weight_sum(arguments: Arguments) -> str | None:
    """Refuse weights that sum to zero if the method divides by their sum."""
    weights = arguments["weight"]
    assert isinstance(weights, tuple)
    largest = max(abs(float(weight)) for weight in weights)
    if arguments.get("normalize", True) and largest * len(weights) > _LARGEST:
        return f"the sum of the weights is beyond what a number can be (one is {largest:g})"
    if arguments.get("normalize", True) and abs(math.fsum(map(float, weights))) < 1e-8:
        shown = ", ".join(f"{weight:g}" for weight in map(float, weights))
        return f"the weights ({shown}) sum to zero, so they cannot be normalised"
    return None
