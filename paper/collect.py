"""From the run folders of all seeds to what the page shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixmerge.errors import DataError
from mixmerge.evaluation.scores import score_table
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.files import read_json
from mixmerge.records import Axis, Verdict
from mixmerge.study.steps.report import read_verdicts
from mixmerge.study.run import prepare
from mixmerge.study.selection import SELECTION, swept
from mixmerge.study.spec import Merged, Study
from paper.scores import AxisTable, Findings, Scores, Sweep

BASE = "base"
SELECTED_ON = "@selection"


@dataclass(frozen=True)
class SeedRun:
    """One seed of the grid, finished or not."""

    seed: int
    study: Study
    folders: Mapping[str, Path]
    """Of the finished steps, by id."""
    seconds: float
    """In all finished steps."""

    def judged(self, suffix: str = "") -> list[str]:
        """Return the models with verdicts on the test items, or on those of selection."""
        ends = [name.removeprefix("judge/") for name in self.folders if name.startswith("judge/")]
        if suffix:
            return [name.removesuffix(suffix) for name in ends if name.endswith(suffix)]
        return [name for name in ends if "@" not in name]


def read_run(study: Path, root: Path, seed: int) -> SeedRun:
    """Find out what is done of a study in a run folder."""
    prepared = prepare(study, root, seed=seed)
    done = [item for item in plan(prepared.steps, Store(root)) if item.folder and item.record]
    return SeedRun(
        seed,
        prepared.study,
        {item.step.id: item.folder for item in done if item.folder},
        sum(float(item.record["seconds"]) for item in done if item.record),
    )


def read_seeds(study: Path, root: Path, seeds: int) -> list[SeedRun]:
    """Find out what is done of the first seeds, each in a folder of its own."""
    return [read_run(study, root / f"seed-{seed}", seed) for seed in range(seeds)]


def not_judged(models: Sequence[str], number: str) -> DataError:
    """Return the error that a table lacks models.

    Args:
        models: that are missing, at least one.
        number: how many, in words that begin the message.
    """
    return DataError(
        f"{number} models are not judged in every seed yet, the first is `{models[0]}`. Go on with "
        "the same command without --table."
    )


def findings(runs: list[SeedRun], commands: list[str]) -> Findings:
    """Gather scores, sweeps and costs of all seeds; models that a seed lacks are left out.

    Raises:
        DataError: the base or every other model is not judged in some seed.
    """
    everyone = list(dict.fromkeys(name for run in runs for name in run.judged()))
    models = _common(run.judged() for run in runs)
    if BASE not in models or models == [BASE]:
        raise DataError(
            f"the base and another model are not yet judged in all {len(runs)} seed(s), so there "
            "is nothing to show. Ask for fewer `--seeds`, or let the runs go on first: the same "
            "command without `--page` or `--table`."
        )
    candidates = _common(run.judged(SELECTED_ON) for run in runs)
    return Findings(
        seeds=[run.seed for run in runs],
        languages=runs[0].study.languages,
        test=_scores(runs, models),
        selection=_scores(runs, candidates, SELECTED_ON) if len(candidates) > 1 else None,
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


def _scores(runs: list[SeedRun], models: list[str], suffix: str = "") -> Scores:
    by_seed = [
        {name: read_verdicts(run.folders[f"judge/{name}{suffix}"]) for name in models}
        for run in runs
    ]
    axes = [*by_seed[0][models[-1]]]
    return Scores({axis: _table(axis, by_seed) for axis in axes}, BASE)


def _table(axis: Axis, by_seed: list[dict[str, dict[Axis, list[Verdict]]]]) -> AxisTable:
    """Stack the scores of all seeds; the base model's win rate against itself is one half."""
    tables = [
        score_table(axis, {name: own[axis] for name, own in models.items() if axis in own})
        for models in by_seed
    ]
    scores = {name: np.stack([table.scores[name] for table in tables]) for name in tables[0].scores}
    if axis == "general":
        scores[BASE] = np.full((len(tables), len(tables[0].cluster)), 0.5)
    return AxisTable(tables[0].cluster, tables[0].language, scores)


def _sweeps(runs: list[SeedRun]) -> dict[str, Sweep]:
    """Return every sweep that all seeds have finished."""
    found = {}
    for name, merges in swept(runs[0].study).items():
        folders = [run.folders.get(f"select/{name}") for run in runs]
        if all(folders):
            checkpoint = runs[0].study.checkpoints[name]
            assert isinstance(checkpoint, Merged)
            assert checkpoint.sweep is not None
            of = checkpoint.sweep.weight_of
            weights = {c: _as_tuple(merge.models[of]["weight"]) for c, merge in merges.items()}
            chosen = [read_json(folder / SELECTION)["winner"] for folder in folders if folder]
            found[name] = Sweep(weights, chosen)
    return found


def _as_tuple(weight: object) -> tuple[float, ...]:
    values = weight if isinstance(weight, tuple) else (weight,)
    return tuple(float(value) for value in values)
