"""Which model to take, for which priorities another one, and what would decide what is open.

The axes are weighed against each other in shares of their ranges: where two count alike, a point
of the one is worth a point of the other. A model replaces another one when its weighted mean is
shown to be higher, or when it beats it whatever the weights are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mixmerge.evaluation.fronts import goodness
from mixmerge.evaluation.scores import AxisScores
from mixmerge.records import Axis
from mixmerge.records.advice import Advice, OpenQuestion, Priority
from mixmerge.records.results import Results
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.power import rounded_up
from mixmerge.stats.proportions import t_quantile, widening

FACTORS = (1.5, 2.0, 3.0, 5.0)
"""How many times as much an axis may count: few, since a sentence must say it."""

_CHEAPER = 0.95
"""Training tokens, as a share of another model's, up to which a model is cheaper."""
_AFFORDABLE = 20_000
"""Source prompts of one axis."""
_TOLD = 3
"""Priorities, and open questions."""


def advise(
    found: Results,
    scores: Mapping[Axis, AxisScores],
    weights: Mapping[Axis, float],
    limits: Mapping[Axis, float],
) -> Advice:
    """Choose among all models of a study, the base model included.

    The choice starts from the best baseline and moves only to what is shown to be better; then to
    a cheaper model that is equivalent. Without baselines it starts from the base model.

    Args:
        found: the results, complete but for the advice.
        scores: of every axis.
        weights: how much each deciding axis counts; 1 where nothing is said.
        limits: the worst acceptable value, by axis and in its units.
    """
    asked = np.array([weights.get(axis, 1.0) for axis in found.deciding])
    counts = (asked if asked.any() else np.ones_like(asked)) / (asked.sum() or len(asked))
    beyond = {name: _beyond(found, name, limits) for name in found.models}
    names = [name for name, axes in beyond.items() if not axes]
    told = Advice(
        choice=None,
        reason="limits",
        weights=dict(zip(found.deciding, counts.tolist(), strict=True)),
        candidates=len(names),
        p_best=0.0,
        excluded={name: axes for name, axes in beyond.items() if axes},
        limits=dict(limits),
    )
    if not names:
        return told
    field = _Field(found, scores, names)
    reason, start = _start(found, field, counts)
    best = _climb(field, start, counts)
    chosen = _cheapest(found, field, best) or best
    against = best if chosen != best else start if best != start else None
    if against:
        reason = "equivalent" if chosen != best else "better"
    priorities = _priorities(field, chosen, counts)
    gains = field.over(against or chosen)
    gain, low, high = (ends[names.index(chosen)] for ends in gains.total(counts))
    return told.model_copy(
        update={
            "choice": chosen,
            "questions": field.clusters,
            "reason": reason,
            "against": against,
            "gain": float(gain) if against else 0.0,
            "ci": (float(low), float(high)) if against else None,
            "p_best": field.p_best(chosen, counts),
            "priorities": tuple(priorities),
            "open": tuple(_open(field, chosen, counts, priorities)),
        }
    )


def _beyond(found: Results, name: str, limits: Mapping[Axis, float]) -> tuple[Axis, ...]:
    """Return the axes on which a model is beyond a limit."""
    own = found.models[name].axes
    return tuple(
        axis
        for axis, limit in limits.items()
        if axis in own and found.axes[axis].sign * (own[axis].value - limit) < 0
    )


@dataclass(frozen=True)
class _Gains:
    """What every candidate gains over one of them, in shares of the ranges; above 0 is better."""

    value: Floats
    """Shape (models, axes), as the others."""
    low: Floats
    high: Floats

    def total(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Return weighted sums with their ends.

        Axes have prompts of their own, so the distances to the ends add up as errors do (variance
        estimates recovery; Zou and Donner 2008).
        """
        value = self.value @ weights
        down, up = (
            np.sqrt((ends - self.value) ** 2 @ weights**2) for ends in (self.low, self.high)
        )
        return value, value - down, value + up


class _Field:
    """The candidates, and what is known of each against each."""

    def __init__(
        self, found: Results, scores: Mapping[Axis, AxisScores], names: Sequence[str]
    ) -> None:
        self.names = list(names)
        self._axes = [(info, scores[axis]) for axis, info in found.deciding.items()]
        self._deciding = list(found.deciding)
        self._beats = {(each.a, each.b) for each in found.decisions if each.decision == "beats"}
        self.margins = np.array([i.margin / (i.bounds[1] - i.bounds[0]) for i, _ in self._axes])
        self.draws: Floats = np.stack(
            [goodness(info, own.pooled_draws(self.names)) for info, own in self._axes], axis=2
        )
        """Shape (draws, models, axes)."""
        self.points: Floats = np.stack(
            [
                goodness(info, np.array([own.rate(name).value for name in self.names]))
                for info, own in self._axes
            ],
            axis=-1,
        )
        self.clusters = {
            axis: min(own.rate(name).clusters for name in self.names)
            for axis, (_, own) in zip(self._deciding, self._axes, strict=True)
        }
        fewest = min(self.clusters.values())
        # Any of the others could be chosen: Bonferroni's correction for as many looks.
        looks = max(1, len(self.names) - 1)
        self.quantile, self._wider = t_quantile(fewest, looks), widening(fewest, looks)
        # Every part of the advice asks for the gains over the same few models.
        self.over = cache(self._over)
        """Return the gains of all candidates over one of them, adjusted for their number."""

    def _over(self, other: str) -> _Gains:
        value, low, high = (np.empty_like(self.points) for _ in range(3))
        for column, (info, own) in enumerate(self._axes):
            for row, each in enumerate(own.differences(self.names, other)):
                ends = sorted((info.sign * each.low, info.sign * each.high))
                middle = info.sign * each.value
                value[row, column] = middle
                low[row, column], high[row, column] = (
                    middle + (end - middle) * self._wider for end in ends
                )
        return _Gains(value, low, high)

    def better(self, other: str, gains: _Gains, weights: Floats) -> str | None:
        """Return the best of those shown to be better than another one; None without any."""
        total, low, _ = gains.total(weights)
        shown = [
            row
            for row, name in enumerate(self.names)
            if low[row] > 0 or (total[row] > 0 and (name, other) in self._beats)
        ]
        return self.names[max(shown, key=lambda row: total[row])] if shown else None

    def p_best(self, name: str, weights: Floats) -> float:
        """Return how often no candidate is better when the prompts are drawn again."""
        drawn = self.draws @ weights
        return float((drawn[:, self.names.index(name)] >= drawn.max(axis=1) - 1e-12).mean())

    def weighed(self, weights: Floats, axis: int, factor: float) -> Floats:
        """Return weights with one axis multiplied; their sum is 1."""
        changed = weights.copy()
        changed[axis] *= factor
        return np.asarray(changed / changed.sum())

    def axis(self, column: int) -> Axis:
        """Return the name of a deciding axis."""
        return self._deciding[column]


def _start(found: Results, field: _Field, weights: Floats) -> tuple[str, str]:
    """Return why, and from which model the choice starts."""
    places = {name: place for place, name in enumerate(field.names)}
    baselines = [name for name in found.baselines.values() if name in places]
    if not found.baselines and found.base in places:
        baselines = [found.base]
    means = field.points @ weights
    start = max(baselines or field.names, key=lambda name: means[places[name]])
    return "default" if baselines else "limits", start


def _climb(field: _Field, start: str, weights: Floats) -> str:
    """Move from model to model for as long as one is shown to be better."""
    # Each is shown to be above the one before, but only in its own sample: never go back.
    seen = [start]
    while (best := field.better(seen[-1], field.over(seen[-1]), weights)) and best not in seen:
        seen.append(best)
    return seen[-1]


def _cheapest(found: Results, field: _Field, best: str) -> str | None:
    """Return the cheapest model that is shown to be equivalent; None where none is cheaper."""
    gains = field.over(best)
    inside = (gains.low > -field.margins) & (gains.high < field.margins)
    tokens = {
        name: found.costs[name].training_tokens
        for name, same in zip(field.names, inside, strict=True)
        if name in found.costs and (same.all() or name == best)
    }
    if best not in tokens:
        return None
    cheapest = min(tokens, key=lambda name: tokens[name])
    return cheapest if tokens[cheapest] < _CHEAPER * tokens[best] else None


def _priorities(field: _Field, choice: str, weights: Floats) -> list[Priority]:
    """Return who is shown to be better than the choice when one axis counts more, or less."""
    gains = field.over(choice)
    least: dict[str, Priority] = {}
    for column, factor in _changes(len(weights)):
        if not 0 < weights[column] < 1:
            continue
        counts = field.weighed(weights, column, factor)
        name = field.better(choice, gains, counts)
        if name and name not in least:
            least[name] = Priority(
                model=name,
                axis=field.axis(column),
                factor=factor,
                p_best=field.p_best(name, counts),
            )
    return list(least.values())[:_TOLD]


def _changes(axes: int) -> Iterator[tuple[int, float]]:
    """Yield an axis and how many times as much it counts, small changes first."""
    for factor in FACTORS:
        yield from ((column, factor) for column in range(axes))
        # Of two axes one counts less where the other one counts more.
        yield from ((column, 1 / factor) for column in range(axes if axes > 2 else 0))


def _open(
    field: _Field, choice: str, weights: Floats, known: Sequence[Priority]
) -> list[OpenQuestion]:
    """Return who measures best and is not shown to be better than the choice, alike weights first.

    Models that the priorities name are known already.
    """
    gains, own = field.over(choice), field.names.index(choice)
    questions = dict[str, OpenQuestion | None].fromkeys(each.model for each in known)
    for column, factor in [(0, 1.0), *_changes(len(weights))]:
        counts = field.weighed(weights, column, factor)
        value, low, high = gains.total(counts)
        row, margin = int(value.argmax()), float(field.margins @ counts)
        # What is shown to be no better by the margin is no question.
        if value[row] <= 0 or high[row] < margin or field.names[row] in questions:
            continue
        errors = (field.draws[:, row] - field.draws[:, own]) @ counts
        half = field.quantile * float(errors.std())
        # Either it is shown to be better, or to be no better by the margin.
        times = max(1.0, (half / max(value[row], margin - value[row])) ** 2)
        needed = {axis: rounded_up(count * times) for axis, count in field.clusters.items()}
        questions[field.names[row]] = OpenQuestion(
            model=field.names[row],
            axis=field.axis(column),
            factor=factor,
            gain=float(value[row]),
            ci=(float(low[row]), float(high[row])),
            needed=needed if max(needed.values()) <= _AFFORDABLE else None,
        )
    return [each for each in questions.values() if each][:_TOLD]
