"""The `search` section: which merges to look among, for how much, and what they must keep."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mixmerge.merging.methods import METHODS
from mixmerge.records import Axis
from mixmerge.spec_model import SpecModel, unknown_name

LANGUAGES = "no language below the base"
"""The constraint on every deciding axis and language."""
_LIMIT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9_.-]*)\s*(<=|>=)\s*([-+0-9.eE]+)\s*")
_FORMS = f"a constraint is `AXIS <= NUMBER`, `AXIS >= NUMBER` or `{LANGUAGES}`"


@dataclass(frozen=True)
class Limit:
    """The worst acceptable value of an axis, in its units."""

    axis: Axis
    value: float
    at_most: bool
    """Whether larger values are refused, or smaller ones."""


def limit_of(text: str) -> Limit | None:
    """Read a constraint; None is `LANGUAGES`.

    Raises:
        ValueError: it is neither that nor a limit.
    """
    if " ".join(text.split()).casefold() == LANGUAGES:
        return None
    found = _LIMIT.fullmatch(text)
    try:
        axis, relation, number = found.groups() if found else ("", "", "")
        return Limit(axis, float(number), relation == "<=")
    except ValueError:
        raise ValueError(_FORMS) from None


def _constraint(text: str) -> str:
    limit_of(text)
    return text


def _method(name: str) -> str:
    if name not in METHODS:
        raise ValueError(_unknown(name, "methods", METHODS))
    return name


MethodName = Annotated[str, AfterValidator(_method)]
"""One of `METHODS`."""


def _unknown(name: str, section: str, known: Collection[str]) -> str:
    return unknown_name(name, section, known).rstrip(".?")  # the message gets its own full stop


def _count(fewest: int, most: int | None) -> str:
    shown = f"{fewest}" if most == fewest else f"{fewest} or more"
    return f"{shown} model{'s' * (shown != '1')}"


def _rises(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise ValueError("the first number of a range must be below the second")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_rises)]
"""The lowest and the highest value to try."""


class SearchBudget(SpecModel):
    """What a search may use; it ends at the first limit. The evaluation of the front is extra."""

    candidates: int | None = Field(None, ge=1)
    """Merges that are tried."""
    answers: int | None = Field(None, ge=1)
    """Answers that merges give to prompts of ``selection``."""
    judge_calls: int | None = Field(None, ge=1)
    """Verdicts of judge models on these answers; judges that are programs cost nothing."""
    dollars: float | None = Field(None, gt=0)
    """At endpoints with a ``price``."""
    hours: float | None = Field(None, gt=0)
    """Spent on candidates, over all runs of the search."""

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if all(limit is None for limit in dict(self).values()):
            raise ValueError("name at least one limit, e.g. `candidates: 40`, or no search ends")
        return self


class SearchSpec(SpecModel):
    """A search among the merges of some checkpoints, for the best trade-offs of all deciding axes.

    Candidates answer the prompts of ``selection`` only.
    """

    models: tuple[str, ...] = Field(min_length=2)
    """The checkpoints to merge: given, trained or merged ones."""
    methods: tuple[MethodName, ...] = Field(default=("linear",), min_length=1)
    """Merge methods to try."""
    weights: Literal["simplex"] | Range = "simplex"
    """``simplex``: weights are not negative and add up to 1. ``[LOW, HIGH]``: each weight is free
    within a range."""
    gradient: int = Field(1, ge=1, le=8)
    """Values of each weight from the first layer to the last, with straight lines between them; 1
    is one weight for all layers."""
    parameters: dict[str, Range | bool | float | str] = {}
    """Other parameters of the methods that have them: a value, or the range to try, as in
    ``{density: [0.2, 1], lambda: [0.5, 2]}``. What is not named has its default."""
    constraints: tuple[Annotated[str, AfterValidator(_constraint)], ...] = ()
    """What a member of the front must keep, beside ``selection.limits``: ``over_refusal <= 0.1``,
    in the units of the axis; ``no language below the base``, by more than the margin of an axis."""
    budget: SearchBudget
    """What the search may use."""
    strategy: str = "bayes"
    """How candidates are chosen: ``bayes`` (needs ``mixmerge[search]``), ``random`` or ``grid``."""
    batch: int = Field(4, ge=1, le=64)
    """Candidates chosen at once: more is less thinking, and less use of what was just learnt."""
    steps: int = Field(5, ge=2, le=101)
    """For ``grid``: values of every parameter."""
    screen: float = Field(0.5, gt=0, le=1)
    """Share of the source questions of each axis that every candidate answers; promising ones
    answer the rest, too. 1: all answer all."""
    members: int = Field(6, ge=1, le=32)
    """Most members of the front that answer the prompts of ``evaluate`` at the end."""

    @model_validator(mode="after")
    def _has_what_methods_take(self) -> Self:
        for name in self.methods:
            fewest, most = METHODS[name].models
            if not fewest <= len(self.models) <= (most or len(self.models)):
                raise ValueError(
                    f"{name} merges {_count(fewest, most)}, and `models` names {len(self.models)}"
                )
        for name in ("models", "methods"):
            if len(set(getattr(self, name))) < len(getattr(self, name)):
                raise ValueError(f"`{name}` names one twice")
        for name, value in self.parameters.items():
            self._check(name, value)
        return self

    def _check(self, name: str, value: object) -> None:
        found = [METHODS[method].parameter(name) for method in self.methods]
        known = [parameter for parameter in found if parameter is not None]
        if not known or name == "weight":
            told = {p.name for m in self.methods for p in METHODS[m].parameters} - {"weight"}
            raise ValueError(_unknown(name, "parameters", sorted(told)))
        for parameter in known:
            for each in value if isinstance(value, tuple) else (value,):
                if said := parameter.problem(each):
                    raise ValueError(f"`{name}` {said}")

    def limits(self) -> list[Limit]:
        """Return the constraints that are limits of an axis."""
        return [limit for limit in map(limit_of, self.constraints) if limit is not None]

    @property
    def keeps_languages(self) -> bool:
        """Whether no language may be below the base model."""
        return any(limit_of(text) is None for text in self.constraints)
