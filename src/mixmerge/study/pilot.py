"""A pilot: the scores of finished run folders, from which the power of a larger study is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixmerge.errors import SpecError
from mixmerge.evaluation.results import planned_contrasts
from mixmerge.evaluation.scores import ScoreTable, score_table
from mixmerge.records import Axis, Verdict
from mixmerge.records.results import ModelInfo
from mixmerge.spec_model import quoted
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.drawn import Resampled, Stratum
from mixmerge.stats.estimate import MIN_CLUSTERS
from mixmerge.stats.seeds import SeedSpread, seed_spread
from mixmerge.study.run import recorded
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.results import read_verdicts, results_settings, verdict_steps

Pair = tuple[str, str]
Composition = Mapping[tuple[str, ...], int]
"""How many source questions have prompts in these languages; a language may be "", for any."""


@dataclass(frozen=True)
class _Run:
    folder: Path
    seed: int
    pairs: list[Pair]
    """Those that its study tests, of models with verdicts."""
    tables: dict[Axis, ScoreTable]


@dataclass(frozen=True)
class Pilot:
    """One or more finished runs of a study, each with a seed of its own."""

    runs: list[_Run]

    @property
    def pairs(self) -> list[Pair]:
        """The pairs of models with scores in all runs."""
        return [pair for pair in self.runs[0].pairs if all(pair in run.pairs for run in self.runs)]

    @property
    def widest(self) -> Pair:
        """The pair that differs most, in the first run and over all axes."""
        tables = self.runs[0].tables.values()

        def variance(pair: Pair) -> float:
            differences = [table.scores[pair[0]] - table.scores[pair[1]] for table in tables]
            return sum(float(np.nanvar(each)) for each in differences)

        return max(self.pairs, key=variance)

    def composition(self, axis: Axis) -> Composition:
        """Return the source questions of the first run by their languages."""
        table = self.runs[0].tables[axis]
        found: dict[tuple[str, ...], int] = {}
        for rows in _by_cluster(table).values():
            languages = _languages(table, rows)
            found[languages] = found.get(languages, 0) + 1
        return found

    def differences(self, pair: Pair, axis: Axis, planned: Composition, graded: bool) -> Resampled:
        """Return what is drawn for a pair of models on an axis.

        Raises:
            SpecError: the pilot has no question in some of the planned languages, or too few.
        """
        parts: dict[tuple[str, ...], list[tuple[Floats, Floats]]] = {}
        for run in self.runs:
            table = run.tables[axis]
            first, second = (table.scores[name] for name in pair)
            for rows in _by_cluster(table).values():
                if not np.isnan(first[rows] - second[rows]).all():
                    parts.setdefault(_languages(table, rows), []).append(
                        (first[rows], second[rows])
                    )
        strata = []
        for languages, count in planned.items():
            own = [
                part
                for key, part_list in parts.items()
                if _fits(key, languages)
                for part in part_list
            ]
            if len(own) < MIN_CLUSTERS:
                where = ", ".join(languages) if any(languages) else f"{len(languages)} languages"
                raise SpecError(
                    f"--pilot: {axis}, {pair[0]} and {pair[1]}: at least {MIN_CLUSTERS} source "
                    f"questions with verdicts in {where} are required (seen: {len(own)}), as the "
                    "study has. Judge more, or leave --pilot out and state the rates."
                )
            strata.append(
                Stratum(np.stack([a for a, _ in own]), np.stack([b for _, b in own]), count)
            )
        return Resampled(tuple(strata), graded)

    def spread(self, pair: Pair, axis: Axis) -> SeedSpread:
        """Return how much a difference varies between the seeds of the runs, on common questions.

        Raises:
            SpecError: there are fewer than ten questions that all runs have.
        """
        by_run = [_cluster_means(run.tables[axis], pair) for run in self.runs]
        shared = [name for name in by_run[0] if all(name in own for own in by_run)]
        if len(shared) < MIN_CLUSTERS:
            raise SpecError(
                f"--pilot: {axis}: at least {MIN_CLUSTERS} source questions with verdicts in all "
                f"runs are required (seen: {len(shared)}). Runs of several seeds have the same "
                "prompts."
            )
        return seed_spread(np.array([[own[name] for name in shared] for own in by_run]))


def read_pilot(folders: Sequence[Path], study: Study) -> Pilot:
    """Read run folders as a pilot of a study.

    Raises:
        SpecError: a folder is no run folder, lacks an axis of the study or measures it otherwise,
            has too few questions, or compares nothing; an axis is constant; two have one seed.
    """
    runs = [_read(folder, study) for folder in folders]
    seeds: dict[int, Path] = {}
    for run in runs:
        if run.seed in seeds:
            raise SpecError(
                f"--pilot: {seeds[run.seed]} and {run.folder} both have the seed {run.seed}; runs "
                "of the same study with different seeds are required (`mixmerge run --seed`)."
            )
        seeds[run.seed] = run.folder
    pilot = Pilot(runs)
    if not pilot.pairs:
        raise SpecError(
            "--pilot: the runs compare no two models in common; runs of the same study with "
            f"different seeds are required (the first compares {_shown(runs[0].pairs)})."
        )
    return pilot


def _read(folder: Path, study: Study) -> _Run:
    prepared, shown, _ = recorded(folder)
    own = prepared.study
    _check_axes(folder, own, study)
    told: dict[str, dict[Axis, list[Verdict]]] = {}
    for name in (BASE, *own.checkpoints):
        for step in verdict_steps(own, name).values():
            if step in shown:
                told.setdefault(name, {}).update(read_verdicts(shown[step]))
    deciding = study.evaluate.deciding
    judged = [name for name in own.checkpoints if all(a in told.get(name, {}) for a in deciding)]
    infos = results_settings(own).models
    models = {BASE: ModelInfo(kind="base")} | {name: infos[name] for name in judged}
    tested = planned_contrasts(BASE, models, own.baselines())
    pairs = [(a, b) for a, b, family in tested if family == "primary"]
    # A small pilot may have no merge yet: then what it has shows how much models differ.
    pairs = pairs or [(a, b) for a, b, _ in tested]
    if not pairs:
        raise SpecError(
            f"--pilot {folder}: compares no models yet (judged: {quoted(judged) or 'none'}). "
            "Go on with the run until its models are judged."
        )
    tables = {axis: _table(folder, axis, study, told, pairs) for axis in deciding}
    return _Run(folder, own.seed, pairs, tables)


def _check_axes(folder: Path, own: Study, study: Study) -> None:
    for axis in study.evaluate.deciding:
        if axis not in own.evaluate.axes:
            raise SpecError(
                f"--pilot {folder}: has no axis {axis!r}, on which this study decides (it has "
                f"{quoted(own.evaluate.axes)}). Give a run that measures the same axes."
            )
        theirs, ours = own.evaluate.axes[axis], study.evaluate.axes[axis]
        if theirs.measure != ours.measure or (theirs.better or "higher") != (
            ours.better or "higher"
        ):
            raise SpecError(
                f"--pilot {folder}: measures {axis!r} otherwise than this study: "
                f"{theirs.measure.title}, {theirs.better or 'higher'} is better (this study: "
                f"{ours.measure.title}, {ours.better or 'higher'}). Give a run that measures the "
                "same."
            )


def _table(
    folder: Path,
    axis: Axis,
    study: Study,
    told: Mapping[str, Mapping[Axis, Sequence[Verdict]]],
    pairs: Sequence[Pair],
) -> ScoreTable:
    measure = study.evaluate.axes[axis].measure
    named = list(dict.fromkeys(name for pair in pairs for name in pair))
    languages = set(study.languages)
    asked = {
        name: [row for row in told[name][axis] if row.language in languages]
        for name in named
        if measure.of_base is None or name != BASE
    }
    clusters = len({row.cluster for rows in asked.values() for row in rows})
    if clusters < MIN_CLUSTERS:
        raise SpecError(
            f"--pilot {folder}: {axis}: verdicts on at least {MIN_CLUSTERS} source questions in "
            f"{', '.join(study.languages)} are required (seen: {clusters}). A smaller pilot does "
            "not show how much models differ: state the rates instead."
        )
    table = score_table(axis, asked, measure.worth)
    if measure.of_base is not None:
        table.scores[BASE] = np.full(len(table.cluster), measure.of_base)
    if all(_constant(table, pair) for pair in pairs):
        raise SpecError(
            f"--pilot {folder}: {axis} is constant: on every prompt, the models of {_shown(pairs)} "
            "differ by the same. Nothing can be learnt from it; state the rates instead."
        )
    return table


def _constant(table: ScoreTable, pair: Pair) -> bool:
    difference = table.scores[pair[0]] - table.scores[pair[1]]
    seen = difference[~np.isnan(difference)]
    return len(seen) == 0 or float(np.ptp(seen)) <= 1e-12


def _by_cluster(table: ScoreTable) -> dict[int, list[int]]:
    """Return the rows of each cluster, in the order of their languages."""
    rows: dict[int, list[int]] = {}
    for row in np.argsort(table.language, kind="stable").tolist():
        rows.setdefault(int(table.cluster[row]), []).append(row)
    return dict(sorted(rows.items()))


def _languages(table: ScoreTable, rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(table.language[row]) for row in rows)


def _fits(languages: tuple[str, ...], planned: tuple[str, ...]) -> bool:
    return languages == planned if any(planned) else len(languages) == len(planned)


def _cluster_means(table: ScoreTable, pair: Pair) -> dict[str, float]:
    """Return a pair's mean difference by cluster, named by its prompts."""
    difference = table.scores[pair[0]] - table.scores[pair[1]]
    named = {
        "\n".join(sorted(table.prompts[row] for row in rows)): difference[rows]
        for rows in _by_cluster(table).values()
    }
    return {
        name: float(np.nanmean(values))
        for name, values in named.items()
        if not np.isnan(values).all()
    }


def _shown(pairs: Iterable[Pair]) -> str:
    return ", ".join(f"{a} and {b}" for a, b in pairs)
