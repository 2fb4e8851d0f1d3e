"""The power of a study before it is run: what it can show, and what would show more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.evaluation.measures import Measure
from mixmerge.execution.plan import Planned, plan
from mixmerge.execution.store import Store
from mixmerge.records import Axis
from mixmerge.stats.drawn import Judged, Resampled
from mixmerge.stats.power import rounded_up
from mixmerge.stats.seeds import SeedSpread, clusters_over_seeds, seeds_needed, smallest_over_seeds
from mixmerge.stats.simulation import Family, Scale, Smallest
from mixmerge.study.judge_calls import calls_for
from mixmerge.study.pilot import Composition, Pair, Pilot, read_pilot
from mixmerge.study.power_inputs import (
    LARGEST,
    Assumed,
    assumptions,
    check_assumed,
    composition,
    in_pilot,
    judges,
    primary_pairs,
    stated,
)
from mixmerge.study.preflight import preflight
from mixmerge.study.resolution import in_points
from mixmerge.study.run import prepare
from mixmerge.study.spec import Study

_SIMULATED = 20_000
"""Most prompts for which a needed size is simulated; larger ones follow from the formula."""


@dataclass(frozen=True)
class Needed:
    """What it takes to show a wanted difference on one axis."""

    difference: float
    """In the measure's units."""
    power: float
    """Share of studies of the planned size that show it."""
    clusters: int | None
    """Source questions; None where no number is enough, and `why` says why."""
    prompts: int | None
    seeds: int | None
    """Training seeds with the planned prompts; None if not asked about, or if none are enough."""
    calls: int | None
    """Calls to judge models, of all models and seeds; None if no judge model is called."""
    dollars: float | None
    """The most that they cost; None where a price is missing."""
    why: str = ""


@dataclass(frozen=True)
class ContrastPower:
    """What one deciding contrast can show."""

    axis: Axis
    pair: Pair | None
    """None for every pair alike."""
    prompts: int
    clusters: int
    smallest: float | None
    """The smallest difference, in the measure's units, that 80 % of studies show; None where no
    difference that is possible is shown so often."""
    error: float
    """Half the width of its 95 % interval, from the number of simulated studies."""
    beats: float
    """Share of studies that decide "beats" with this difference, and none on the other axes."""
    not_worse: float
    """Share of studies that show "not worse by the margin" where there is no difference."""
    for_not_worse: int | None
    """About how many source questions would show it in 80 % of studies; None for a margin of 0."""
    over_seeds: float | None
    """The smallest difference between recipes, as a mean over seeds; None with one seed."""
    seed_sd: tuple[float, float, float] | None
    """Standard deviation of the difference between the pilot's seeds, and its 95 % interval."""
    needed: Needed | None


@dataclass(frozen=True)
class StudyPower:
    """The power of all deciding contrasts of a study."""

    study: str
    seed: int
    studies: int
    """Simulated studies."""
    tests: int
    """Contrasts over which Holm's method adjusts."""
    contrasts: list[ContrastPower]
    assumptions: list[str]
    """A sentence each."""


def power(
    study: Path | str,
    out: Path | str | None = None,
    assumed: Assumed | None = None,
    *,
    seed: int | None = None,
) -> StudyPower:
    """Simulate what a study can show, with its own tests, adjustment and decisions.

    The arguments are those of `mixmerge.plan`; the same seed gives the same numbers.

    Raises:
        SpecError: the study is invalid; its prompts are not known; an assumption is impossible; the
            pilot does not belong to the study; no size shows a wanted difference.
    """
    asked = assumed or Assumed()
    prepared = prepare(study, out, seed=seed)
    own = prepared.study
    check_assumed(asked, own)
    steps = {item.step.id: item for item in plan(prepared.steps, Store(prepared.root))}
    known = preflight(own, [*steps.values()], prepared.root, probe=False).prompts
    axes, pairs, judge = own.evaluate.deciding, primary_pairs(own), judges(own, asked)
    pilot = read_pilot(asked.pilots, own) if asked.pilots else None
    sizes = {axis: composition(own, axis, asked, steps, known, pilot) for axis in axes}
    chosen = in_pilot(pairs, pilot) if pilot else {}
    family = Family(
        scales=[_scale(own, axis) for axis in axes],
        models=[
            [pilot.differences(pair, axis, sizes[axis], _graded(own, axis)) for axis in axes]
            for pair in chosen.values()
        ]
        if pilot
        else [
            [
                stated(
                    axis, own.evaluate.axes[axis].measure, sizes[axis], judge[axis], asked, pairs
                )
                for axis in axes
            ]
        ],
        pairs=len(pairs),
        seed=own.seed,
        studies=asked.studies,
        draws=own.evaluate.draws,
    )
    rows = [
        _Row(own, asked, steps, family, row, column, axis, sizes[axis], judge[axis], pair, spread)
        for row, pair in enumerate(chosen or [None])
        for column, axis in enumerate(axes)
        for spread in [_spread(pilot, chosen[pair], axis, asked) if pilot and pair else None]
    ]
    found = [row.power() for row in rows]
    _refuse_impossible(found)
    return StudyPower(
        study=own.study,
        seed=own.seed,
        studies=asked.studies,
        tests=family.tests,
        contrasts=found,
        assumptions=[*assumptions(own, asked, judge, pilot, chosen)],
    )


def _scale(study: Study, axis: Axis) -> Scale:
    spec = study.evaluate.axes[axis]
    info = spec.measure.info(spec.better or "higher", primary=True, margin=spec.margin)
    low, high = info.bounds
    return Scale(info.sign, info.margin / (high - low), spec.measure.apart)


def _graded(study: Study, axis: Axis) -> bool:
    return study.evaluate.axes[axis].measure.asks == "grade"


def _spread(pilot: Pilot, pair: Pair, axis: Axis, asked: Assumed) -> SeedSpread | None:
    return pilot.spread(pair, axis) if asked.seeds > 1 else None


def _refuse_impossible(found: list[ContrastPower]) -> None:
    needed = [each.needed for each in found if each.needed]
    if needed and all(each.why and each.power == 0 for each in needed):
        raise SpecError(
            "--difference: no size shows it. "
            + " ".join(dict.fromkeys(each.why for each in needed))
        )


@dataclass(frozen=True)
class _Row:
    """One contrast, with what its power is computed from."""

    study: Study
    asked: Assumed
    steps: Mapping[str, Planned]
    family: Family
    row: int
    column: int
    axis: Axis
    sizes: Composition
    judge: Judged
    pair: Pair | None
    spread: SeedSpread | None

    @property
    def _measure(self) -> Measure:
        return self.study.evaluate.axes[self.axis].measure

    @property
    def _clusters(self) -> int:
        return sum(self.sizes.values())

    @property
    def _prompts(self) -> int:
        return sum(len(languages) * count for languages, count in self.sizes.items())

    @property
    def _left(self) -> float:
        """The share of a true difference that the simulated one is."""
        # A pilot's scores have the judge's errors in them already; stated ones get them.
        resampled = isinstance(self.family.models[self.row][self.column], Resampled)
        return self.judge.youden if resampled else 1.0

    @cached_property
    def _found(self) -> Smallest:
        return self.family.smallest(self.row, self.column)

    @property
    def _error(self) -> float:
        """The standard error of the difference where it is found, and not where there is none."""
        found = self._found.difference
        if math.isfinite(found):
            return found / self.family.distance
        return self.family.spread(self.row, self.column)

    def power(self) -> ContrastPower:
        found = self._found
        unit = self._measure.of_difference
        enough = self.family.clusters_not_worse(self.row, self.column)
        over, seed_sd = None, None
        if self.spread:
            over = unit(self._over_seeds(self.spread) / self._left)
            # No difference is larger than the range, however little two seeds say.
            ends = (min(1.0, each / self._left) for each in (self.spread.sd, *self.spread.ci))
            sd, low, high = map(unit, ends)
            seed_sd = sd, low, high
        return ContrastPower(
            axis=self.axis,
            pair=self.pair,
            prompts=self._prompts,
            clusters=self._clusters,
            smallest=unit(found.difference / self._left)
            if math.isfinite(found.difference)
            else None,
            error=unit(found.error / self._left),
            beats=found.beats,
            not_worse=found.not_worse,
            for_not_worse=rounded_up(enough) if math.isfinite(enough) else None,
            over_seeds=over,
            seed_sd=seed_sd,
            needed=self._needed(),
        )

    def _over_seeds(self, spread: SeedSpread) -> float:
        """Return the smallest difference over seeds, of verdicts and not of the truth."""
        tests = self.family.tests
        return smallest_over_seeds(spread, self.asked.seeds, self._error, self._clusters, tests)

    def _needed(self) -> Needed | None:
        wanted = self.asked.wanted(self.axis)
        if wanted is None:
            return None
        low, high = self._measure.range
        difference = wanted / (high - low) * self._left
        if why := self._impossible(difference):
            return Needed(wanted, 0.0, None, None, None, None, None, why)
        clusters, why = self._clusters_needed(difference)
        prompts = rounded_up(clusters * self._prompts / self._clusters) if clusters else None
        calls, dollars = None, None
        if prompts:
            calls, dollars = calls_for(self.study, self.axis, self.steps, prompts)
            calls = calls and calls * self.asked.seeds
            dollars = dollars and dollars * self.asked.seeds
        return Needed(
            difference=wanted,
            power=self.family.power(self.row, self.column, difference),
            clusters=rounded_up(clusters) if clusters else None,
            prompts=prompts,
            seeds=self._seeds_needed(self.spread, difference) if self.spread else None,
            calls=calls,
            dollars=dollars,
            why=why,
        )

    def _impossible(self, difference: float) -> str:
        low, high = self.family.models[self.row][self.column].reach
        up = self.family.scales[self.column].sign > 0
        most = high if up else -low
        if difference < 0.999 * most:
            return ""
        shown = in_points(most / self._left, self._measure)
        return (
            f"{self.axis} can {'rise' if up else 'fall'} by {shown} at most: "
            "the baseline is too near the end of its range."
        )

    def _clusters_needed(self, difference: float) -> tuple[int | None, str]:
        tests = self.family.tests
        if self.spread:
            count = clusters_over_seeds(
                self.spread, self.asked.seeds, self._error, self._clusters, tests, difference
            )
            why = f"{self.axis}: with {self.asked.seeds} seeds no number of prompts shows it."
            return count, "" if count else why
        start = self._clusters * (self.family.distance * self._error / difference) ** 2
        each = self._prompts / self._clusters
        if start * each <= _SIMULATED:
            return self.family.clusters_for(self.row, self.column, difference, start), ""
        if start * each <= 100 * LARGEST:
            return math.ceil(start), ""
        return None, f"{self.axis}: it would take more than {100 * LARGEST:,} prompts."

    def _seeds_needed(self, spread: SeedSpread, difference: float) -> int | None:
        return seeds_needed(spread, difference, self._error, self._clusters, self.family.tests)
