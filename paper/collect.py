"""Collect the page's contents from the run folders of all seeds."""

from collections.abc import Iterable

import numpy as np

from mixmerge.errors import DataError
from mixmerge.evaluation.measures import Measure
from mixmerge.evaluation.scores import score_table
from mixmerge.files import read_json
from mixmerge.records import Axis, Verdict
from mixmerge.study.checkpoints import Merged
from mixmerge.study.rounds import SELECTION
from mixmerge.study.selection import SweepSpec
from mixmerge.study.spec import BASE
from mixmerge.study.steps.results import read_verdicts
from mixmerge.study.steps.select import CHOICE
from paper.scores import AxisTable, Findings, Scores, Sweep
from paper.seeds import SeedRun


def findings(runs: list[SeedRun], commands: list[str]) -> Findings:
    """Collect scores, sweeps and costs of all seeds; leave out models that a seed lacks.

    Raises:
        DataError: some seed lacks verdicts on the base or on all other models.
    """
    everyone = list(dict.fromkeys(name for run in runs for name in run.judged()))
    models = _common(run.judged() for run in runs)
    if BASE not in models or models == [BASE]:
        raise DataError(
            f"the base and another model are not yet judged in all {len(runs)} seed(s), so there "
            "is nothing to show. Ask for fewer `--seeds`, or let the runs go on first: the same "
            "command without `--page` or `--table`."
        )
    candidates = _common(run.judged(SELECTION) for run in runs)
    return Findings(
        seeds=[run.seed for run in runs],
        languages=runs[0].study.languages,
        test=scores_of(runs, models),
        selection=scores_of(runs, candidates, SELECTION) if len(candidates) > 1 else None,
        sweeps=_sweeps(runs),
        unfinished=[
            name
            for name in dict.fromkeys([*everyone, *runs[0].study.checkpoints])
            if name not in models
        ],
        commands=commands,
        hours=sum(run.seconds for run in runs) / 3600,
    )


def _common(names: Iterable[list[str]]) -> list[str]:
    first, *others = names
    return [name for name in first if all(name in other for other in others)]


def scores_of(runs: list[SeedRun], models: list[str], suffix: str = "") -> Scores:
    """Collect the scores of models that are judged in all of these seeds."""
    by_seed = [
        {name: read_verdicts(run.folders[f"judge/{name}{suffix}"]) for name in models}
        for run in runs
    ]
    measures = {axis: spec.measure for axis, spec in runs[0].study.evaluate.axes.items()}
    asked = by_seed[0][models[-1]]
    return Scores({axis: _table(axis, measures[axis], by_seed) for axis in asked}, BASE)


def _table(
    axis: Axis, measure: Measure, by_seed: list[dict[str, dict[Axis, list[Verdict]]]]
) -> AxisTable:
    """Stack the scores of all seeds; the base model's may be fixed by definition."""
    tables = [
        score_table(axis, {n: own[axis] for n, own in models.items() if axis in own}, measure.worth)
        for models in by_seed
    ]
    scores = {name: np.stack([table.scores[name] for table in tables]) for name in tables[0].scores}
    if measure.of_base is not None:
        scores[BASE] = np.full((len(tables), len(tables[0].cluster)), measure.of_base)
    return AxisTable(tables[0].cluster, tables[0].language, scores)


def _sweeps(runs: list[SeedRun]) -> dict[str, Sweep]:
    """Return every sweep that all seeds have finished."""
    found = {}
    study = runs[0].study
    for name, checkpoint in study.checkpoints.items():
        folders = [run.folders.get(f"select/{name}") for run in runs]
        sweep = checkpoint.sweep if isinstance(checkpoint, Merged) else None
        if isinstance(sweep, SweepSpec) and all(folders):
            of = sweep.weight_of
            merges = study.swept(name)
            weights = {c: _as_tuple(merge.models[of]["weight"]) for c, merge in merges.items()}
            chosen = [read_json(folder / CHOICE)["winner"] for folder in folders if folder]
            found[name] = Sweep(weights, chosen)
    return found


def _as_tuple(weight: object) -> tuple[float, ...]:
    values = weight if isinstance(weight, tuple) else (weight,)
    return tuple(float(value) for value in values)
