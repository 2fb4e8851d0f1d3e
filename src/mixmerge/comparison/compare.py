"""Compare every model with the baseline, by the items that both have."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import stdtr

from mixmerge.comparison.align import Mismatch, TaskTable, align
from mixmerge.comparison.gather import Logs, gather
from mixmerge.comparison.page import write_page
from mixmerge.comparison.result import Comparisons, ModelScore, OfLanguage, Pair, TaskInfo
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.scores import in_units
from mixmerge.logs.scores import Asked, Field
from mixmerge.records.results import Better, Interval
from mixmerge.stats.decision import significant_gain
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.paired import benjamini_hochberg, holm, mcnemar_p, sign_flip_ps
from mixmerge.stats.power import clusters_needed, smallest_difference


def compare(
    runs: Sequence[str | Path],
    *,
    baseline: str | None = None,
    only: Sequence[str] = (),
    metric: str | None = None,
    better: Better | None = None,
    bounds: Interval | None = None,
    mismatch: Mismatch = "refuse",
    item: str | None = None,
    model: str | None = None,
    score: str | None = None,
    task: str | None = None,
    cluster: str | None = None,
    language: str | None = None,
    epoch: str | None = None,
    page: Path | None = None,
    seed: int = 0,
) -> Comparisons:
    """Say which models are better than a baseline, from logs of evaluations.

    Args:
        runs: files and folders of lm-eval, inspect_ai, AlpacaEval or mixmerge, or tables of scores;
            ``NAME=PATH`` names a model. One name for several logs: they are repeats.
        baseline: a model; by default the first.
        only: the tasks to compare; by default all.
        metric: of lm-eval, or the scorer of inspect_ai; by default the first.
        better: which direction is good, if the logs do not say.
        bounds: the lowest and the highest possible score, if not 0 and 1.
        mismatch: see `Mismatch`.
        item: column of a table; by default, as for the next six, one with a usual name.
        model: column of a table; without one, the file is one model.
        score: column of a table.
        task: column of a table.
        cluster: column of a table, field of lm-eval's documents, or key of inspect's metadata, with
            what several items share, such as a text that they ask about.
        language: as ``cluster``.
        epoch: column of a table that tells repeated answers to an item apart.
        page: file for a page with the items on which models differ, side by side.
        seed: for the random signs of tests that are not exact.

    Returns:
        Every other model less the baseline on each task, with p-values adjusted for all of them.

    Raises:
        DataError: a log is wrong, or logs do not fit together.
        SpecError: there is no such baseline, or bounds are not in order.
        ResourceError: a library that reads the logs is not installed, or the disk is full.
    """
    if bounds is not None and not bounds[0] < bounds[1]:
        raise SpecError(f"bounds: the lowest score, then the highest is required (seen: {bounds}).")
    named: dict[Field, str | None] = {
        "item": item, "model": model, "score": score, "task": task, "cluster": cluster,
        "language": language, "epoch": epoch,
    }  # fmt: skip
    fields = {field: column for field, column in named.items() if column is not None}
    asked = Asked(tuple(only), metric, fields)
    logs, notes = gather(runs, asked)
    models = list(dict.fromkeys(name for known in logs.values() for name in known))
    first = models[0] if baseline is None else baseline
    if first not in models:
        raise SpecError(f"baseline: there is no model {first!r} (there are: {', '.join(models)}).")
    tables = []
    for name, known in _with_baseline(logs, first, notes).items():
        others = [log for other, log in known.items() if other != first]
        mine = [known[first], *others]
        tables.append(align(name, mine, mismatch=mismatch, better=better, bounds=bounds))
    found = compare_tables(tables, first, notes, seed)
    if page is not None:
        write_page(tables, found, page, asked)
    return found


def compare_tables(
    tables: Sequence[TaskTable], baseline: str, notes: Sequence[str] = (), seed: int = 0
) -> Comparisons:
    """Compare the models of tables, the first column of each with the others."""
    comparisons = sum(len(table.logs) - 1 for table in tables)
    samples = {table.task: _Sample(table) for table in tables}
    pairs = [pair for own in samples.values() for pair in own.pairs(comparisons, seed)]
    models = dict.fromkeys(model for own in samples.values() for model in own.models)
    return Comparisons(
        baseline=baseline,
        tasks={table.task: _info(table) for table in tables},
        models={
            model: {task: own.score(model) for task, own in samples.items() if model in own.models}
            for model in models
        },
        contrasts=_adjusted(pairs, {table.task: table.better for table in tables}),
        notes=(*notes, *(note for table in tables for note in table.notes)),
    )


def _with_baseline(logs: Logs, baseline: str, notes: list[str]) -> Logs:
    kept: Logs = {}
    for task, known in logs.items():
        if baseline in known and len(known) > 1:
            kept[task] = known
        else:
            notes.append(f"{task}: only {', '.join(known)} was evaluated on it; not compared")
    if not kept:
        raise DataError(
            f"No other model was evaluated on a task of {baseline} (tasks: {', '.join(logs)}). "
            "Choose another --baseline, or give logs of one task."
        )
    return kept


def _info(table: TaskTable) -> TaskInfo:
    first = table.logs[0]
    return TaskInfo(
        measure="mean",
        title=first.metric,
        phrase=f"the mean {first.metric}",
        better=table.better,
        primary=True,
        unit="percent" if table.bounds == (0.0, 1.0) else "score",
        bounds=table.bounds,
        version=first.version,
        items=len(table.items),
    )


class _Sample:
    """The clustered sums of one task: of each model, of each difference, and by language."""

    def __init__(self, table: TaskTable) -> None:
        self.table = table
        self.models = [log.model for log in table.logs]
        shares = table.shares
        self._paired = shares[:, 1:] - shares[:, :1]
        whole = np.isin(shares, (0.0, 1.0)) | np.isnan(shares)
        self._apart = 0.0 if whole.all() else Mean.apart
        self._scores = ClusterSample(shares, table.cluster)
        self._differences = ClusterSample(self._paired, table.cluster)

    def score(self, model: str) -> ModelScore:
        """Return a model's mean over its own items."""
        table, column = self.table, self.models.index(model)
        found = self._scores.rate(column, self._apart)
        (value,), ci = self._in_units(found.value), self._interval(found)
        return ModelScore(
            value=value,
            ci=ci,
            n=found.n,
            missing=len(table.items) - found.n,
            epochs=table.epochs[column],
            origin=str(table.logs[column].origin),
            absent={"ci": found.absent} if found.absent else {},
        )

    def pairs(self, comparisons: int, seed: int) -> list[Pair]:
        """Return every model less the baseline; p-values are not adjusted yet."""
        # Random signs show no p-value below 1 / draws, and Holm multiplies the smallest by the
        # number of comparisons.
        draws = max(10_000, min(200 * comparisons, 1_000_000))
        flipped = sign_flip_ps(self._differences.totals, np.random.default_rng(seed), draws)
        return [self._pair(column, float(p), comparisons) for column, p in enumerate(flipped)]

    def _pair(self, column: int, flipped: float, comparisons: int) -> Pair:
        sample, width = self._differences, self.table.bounds[1] - self.table.bounds[0]
        found = sample.difference(column, self._apart)
        totals = sample.totals[:, column]
        mean = ClusterMean.of(totals, sample.sizes[:, column])
        error = math.sqrt(mean.variance)
        square = mean.clusters * mean.variance + mean.value**2
        seen = ~np.isnan(self._paired[:, column])
        means = self.table.values[seen][:, [column + 1, 0]].mean(axis=0)
        p = max(flipped, sample.p_of_equal_means(column))
        needed = clusters_needed(mean.value, square, comparisons) if mean.value else None
        return Pair(
            a=self.models[column + 1],
            b=self.models[0],
            axis=self.table.task,
            difference=width * mean.value,
            ci=in_units(found.offered, lambda share: width * share),
            p=p,
            p_adjusted=p,
            p_mcnemar=mcnemar_p(int(np.sum(totals > 0)), int(np.sum(totals < 0)))
            if sample.is_binary(column)
            else None,
            n=mean.clusters,
            absent={"ci": found.absent} if found.absent else {},
            value_a=float(means[0]),
            value_b=float(means[1]),
            items=mean.n,
            se=width * error,
            p_t=_t_p(mean, error),
            detectable=width * smallest_difference(mean.clusters, min(1.0, square), comparisons)
            if square
            else None,
            needed=needed and math.ceil(needed * mean.n / mean.clusters),
            verdict="undecided",
            by_language=self._by_language(column),
        )

    def _by_language(self, column: int) -> dict[str, OfLanguage]:
        width = self.table.bounds[1] - self.table.bounds[0]
        language = np.array(self.table.language)
        names = dict.fromkeys(self.table.language)
        if len(names) < 2:
            return {}
        own = [np.where(language == name, self._paired[:, column], np.nan) for name in names]
        sample = ClusterSample(np.stack(own, axis=1), self.table.cluster)
        found = {name: sample.difference(place, self._apart) for place, name in enumerate(names)
                 if sample.clusters(place)}  # fmt: skip
        return {
            name: OfLanguage(
                difference=width * each.value,
                ci=in_units(each.offered, lambda share: width * share),
                n=each.n,
            )
            for name, each in found.items()
        }

    def _in_units(self, *shares: float) -> list[float]:
        low, high = self.table.bounds
        return [low + (high - low) * share for share in shares]

    def _interval(self, found: Estimate) -> Interval | None:
        if found.offered is None:
            return None
        low, high = self._in_units(*found.offered)
        return low, high


def _t_p(mean: ClusterMean, error: float) -> float:
    if error <= 1e-12:
        return 1.0 if mean.value == 0 else 0.0
    return float(2 * stdtr(mean.effective - 1, -abs(mean.value) / error))


def _adjusted(pairs: Sequence[Pair], better: dict[str, Better]) -> tuple[Pair, ...]:
    raw = [pair.p for pair in pairs]
    adjusted = []
    for pair, p, p_bh in zip(pairs, holm(raw), benjamini_hochberg(raw), strict=True):
        sign = 1 if better[pair.axis] == "higher" else -1
        gain = significant_gain(sign * pair.difference, p)
        verdict = {1: "better", -1: "worse", 0: "undecided"}[gain]
        needed = None if gain else pair.needed and max(pair.needed, pair.items + 1)
        changes = {"p_adjusted": p, "p_bh": p_bh, "verdict": verdict, "needed": needed}
        adjusted.append(pair.model_copy(update=changes))
    return tuple(adjusted)
