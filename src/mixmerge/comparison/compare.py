"""Compare every model with the baseline, by the items that both have."""

from collections.abc import Sequence
from pathlib import Path

from mixmerge.comparison.align import Mismatch, TaskTable, align
from mixmerge.comparison.gather import Logs, gather
from mixmerge.comparison.looks import SAID, Looks, looks
from mixmerge.comparison.over_seeds import OverSeeds, check_seeds
from mixmerge.comparison.page import write_page
from mixmerge.comparison.result import Comparisons, Pair
from mixmerge.comparison.sample import Sample
from mixmerge.comparison.totals import Totals
from mixmerge.errors import DataError, SpecError
from mixmerge.logs.scores import Asked, Field
from mixmerge.records.results import Better, Interval
from mixmerge.spec_model import hint
from mixmerge.stats.decision import significant_gain
from mixmerge.stats.paired import benjamini_hochberg, holm


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
    seeds: bool = False,
    of: int | None = None,
    looked: Sequence[int] = (),
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
        seeds: repeats of a model are trainings with different seeds, and what is said is to hold
            for new seeds. Logs of one model are such repeats, and so are the values of a table's
            column ``seed``. The seeds of two models are paired in order.
        of: items that are planned in all. The comparison is then a look at those that are there,
            and its p-values and intervals allow for the looks before and to come.
        looked: items at each earlier look.
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
    columns: dict[Field, str | None] = {
        "item": item, "model": model, "score": score, "task": task, "cluster": cluster,
        "language": language, "epoch": epoch,
    }  # fmt: skip
    plan = looks(of, looked, seeds)
    fields = {field: column for field, column in columns.items() if column is not None}
    asked = Asked(tuple(only), metric, fields)
    logs, notes = gather(runs, asked, seeds=seeds)
    if seeds:
        check_seeds(logs)
    models = list(dict.fromkeys(name for known in logs.values() for name in known))
    first = models[0] if baseline is None else baseline
    if first not in models:
        named = f"{', '.join(models[:10])}{', …' * (len(models) > 10)}"
        raise SpecError(f"baseline: no model `{first}` (there are: {named}){hint(first, models)}")
    tables: list[TaskTable] = []
    totals: list[Totals] = []
    for name, known in _with_baseline(logs, first, notes).items():
        others = [log for other, log in known.items() if other != first]
        mine = [known[first], *others]
        if all(log.totals for log in mine):
            totals.append(Totals(mine))
        else:
            tables.append(align(name, mine, mismatch=mismatch, better=better, bounds=bounds))
    found = compare_tables(tables, first, notes, totals=totals, plan=plan, seed=seed)
    if page is not None:
        left_out = write_page(tables, found, page, asked)
        found = found.model_copy(update={"notes": (*found.notes, *left_out)})
    return found


def compare_tables(
    tables: Sequence[TaskTable],
    baseline: str,
    notes: Sequence[str] = (),
    *,
    totals: Sequence[Totals] = (),
    plan: Looks | None = None,
    seed: int = 0,
) -> Comparisons:
    """Compare the first model of each table, and of totals without items, with the others."""
    samples: list[Sample | OverSeeds | Totals] = [
        *(Sample(table) if table.by_seed is None else OverSeeds(table) for table in tables),
        *totals,
    ]
    comparisons = sum(len(own.models) - 1 for own in samples)
    pairs = [pair for own in samples for pair in own.pairs(comparisons, seed)]
    pairs = [plan.at(pair) for pair in pairs] if plan else pairs
    models = dict.fromkeys(model for own in samples for model in own.models)
    return Comparisons(
        baseline=baseline,
        tasks={own.task: own.info for own in samples},
        models={
            model: {own.task: own.score(model) for own in samples if model in own.models}
            for model in models
        },
        contrasts=_adjusted(pairs, {own.task: own.info.better for own in samples}),
        notes=(*notes, *(note for own in samples for note in own.notes), *([SAID] if plan else [])),
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


def _adjusted(pairs: Sequence[Pair], better: dict[str, Better]) -> tuple[Pair, ...]:
    raw = [pair.p if pair.p_sequential is None else pair.p_sequential for pair in pairs]
    adjusted = []
    for pair, p, p_bh in zip(pairs, holm(raw), benjamini_hochberg(raw), strict=True):
        sign = 1 if better[pair.axis] == "higher" else -1
        gain = significant_gain(sign * pair.difference, p)
        verdict = {1: "better", -1: "worse", 0: "undecided"}[gain]
        needed = None if gain else pair.needed and max(pair.needed, pair.items + 1)
        changes = {"p_adjusted": p, "p_bh": p_bh, "verdict": verdict, "needed": needed}
        if gain:
            changes["needed_seeds"] = None
        adjusted.append(pair.model_copy(update=changes))
    return tuple(adjusted)
