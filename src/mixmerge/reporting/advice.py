"""The advice in sentences: the model to take, exceptions, and what would settle open questions.

`mixmerge.evaluation.advice` decides; this module only finds the words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mixmerge.records.advice import Advice, OpenQuestion, Priority
from mixmerge.records.results import Results
from mixmerge.reporting import formats, models
from mixmerge.reporting.formats import listed

_TIMES = {1.5: "one and a half times", 2: "twice", 3: "three times", 5: "five times"}
_PARTS = {1.5: "two thirds", 2: "half", 3: "a third", 5: "a fifth"}
# Intervals are for new questions; they leave out how far trainings with other seeds differ.
_SEEDS = (
    "Each model was trained once: run the study with two other seeds before you rely on a "
    "difference that is not far above the margin."
)

_NOTHING_OPEN = "No other model measures better, so more prompts would hardly change this."


@dataclass(frozen=True)
class Step:
    """One recommendation, with the folder of the model that it names."""

    sentence: str
    folder: str | None = None


@dataclass(frozen=True)
class Told:
    """The advice of a study. Names of models are in backticks."""

    take: Step
    why: list[str]
    otherwise: list[Step] = field(default_factory=list)
    """Priorities for which another model is better."""
    open: list[str] = field(default_factory=list)
    """Open questions, and what would settle them."""


def tell(results: Results) -> Told | None:
    """Put the advice of a study into words; None for results without one."""
    advice = results.advice
    if advice is None:
        return None
    if advice.choice is None:
        return Told(Step("Take no model: none is within the limits."), _beyond(results, advice))
    steps = [
        Step(f"{_if(advice, each)}, take `{each.model}`.", each.folder)
        for each in advice.priorities
    ]
    is_trained = any(cost.training_tokens for cost in results.costs.values())
    asked = [_question(advice, each) for each in advice.open] or [_NOTHING_OPEN]
    return Told(
        Step(_take(results, advice), advice.folder),
        [_why(results, advice), *_beyond(results, advice)],
        steps,
        [*asked, *[_SEEDS] * is_trained],
    )


def _take(results: Results, advice: Advice) -> str:
    if advice.reason != "default":
        return f"Take `{advice.choice}`{_arm(results, advice.choice)}."
    role = "base model" if advice.choice == results.base else "baseline"
    return f"Stay with `{advice.choice}`, the {role}."


def _arm(results: Results, name: str | None) -> str:
    named = name in results.models and models.names_arms(results)
    return f" ({results.models[name].arm})" if name and named else ""


def _why(results: Results, advice: Advice) -> str:
    alike = _weights(advice)
    if advice.reason == "equivalent":
        tokens = [results.costs[n or ""].training_tokens for n in (advice.choice, advice.against)]
        part = formats.percent(tokens[0] / tokens[1], 0)
        return (
            f"It is equivalent to `{advice.against}`: on no axis do they differ by the margin. And "
            f"it took {part} of the training tokens."
        )
    best = f"in {formats.percent(advice.p_best, 0)} of the bootstrap draws no model is better"
    if advice.reason == "better" and advice.ci:
        return (
            f"{alike[0].upper()}{alike[1:]} it is {_gain(advice.gain)} better than "
            f"`{advice.against}` (95{formats.NARROW_SPACE}% interval {_ends(advice.ci)}, adjusted "
            f"for {advice.candidates} models); {best}."
        )
    if advice.reason == "limits":
        return (
            f"The baseline is beyond a limit; of the others this one measures best {alike}, and "
            f"{best}."
        )
    return f"No other model is shown to be better {alike}; {best}."


def _weights(advice: Advice) -> str:
    axes, counts = list(advice.weights), list(advice.weights.values())
    if len(axes) == 1:
        return f"on {axes[0]}"
    if max(counts) - min(counts) < 1e-9:
        return f"with {listed(axes)} counting alike"
    parts = [f"{axis} {formats.percent(part, 0)}" for axis, part in advice.weights.items()]
    return f"with the weights of the study ({', '.join(parts)})"


def _if(advice: Advice, each: Priority | OpenQuestion) -> str:
    rest = [axis for axis in advice.weights if axis != each.axis]
    than = rest[0] if len(rest) == 1 else "each other axis"
    if max(advice.weights.values()) - min(advice.weights.values()) > 1e-9:
        than = "the study says"
    if each.factor >= 1:
        times = _TIMES.get(each.factor, f"{each.factor:.3g} times")
        return f"If {each.axis} counts at least {times} as much as {than}"
    part = _PARTS.get(round(1 / each.factor, 6), f"{each.factor:.3g} times")
    return f"If {each.axis} counts at most {part} as much as {than}"


def _beyond(results: Results, advice: Advice) -> list[str]:
    """Return the models beyond a limit, which are never recommended."""
    if not advice.excluded:
        return []
    limits = {
        axis: f"{axis} {'below' if results.axes[axis].sign > 0 else 'above'} "
        f"{formats.value(results.axes[axis], limit)}"
        for axis, limit in advice.limits.items()
    }
    named = [
        f"`{name}` ({listed([limits[axis] for axis in axes])})"
        for name, axes in advice.excluded.items()
    ]
    return [f"Beyond a limit and not recommended: {', '.join(named)}."]


def _question(advice: Advice, each: OpenQuestion) -> str:
    where = f"{_if(advice, each)}, " if each.factor != 1 else ""
    measured = f"measures {_gain(each.gain)} better, within the noise ({_ends(each.ci)})"
    said = f"{where}`{each.model}` {measured}"
    if each.needed is None:
        return f"{said}: no affordable number of prompts would decide it; take either."
    more = [
        f"{formats.count(number)} on {axis} (now {formats.count(advice.questions[axis])})"
        for axis, number in each.needed.items()
    ]
    return f"{said}. If that stays, about {listed(more)} questions would decide it."


def _gain(gain: float) -> str:
    return f"{formats.decimal(gain * 100, 1)} points"


def _ends(ci: Sequence[float]) -> str:
    return f"{formats.points(ci[0])} to {formats.points(ci[1])}"
