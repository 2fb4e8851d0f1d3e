"""Read the logs that a user names, and give every model one name."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mixmerge.errors import DataError, SpecError
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked, Scores

Logs = dict[str, dict[str, Scores]]
"""By task and model, both in order of first appearance."""


def gather(
    runs: Sequence[str | Path], asked: Asked, *, seeds: bool = False
) -> tuple[Logs, list[str]]:
    """Read all runs; return their scores, and notes.

    A run is a file, a folder, or ``NAME=PATH``, which names its model. A name given twice is one
    model whose logs are repeats of each other. Of runs with the same model on the same task, each
    is called by its path; with ``seeds``, they are one model, trained with other seeds.

    Raises:
        DataError: see `read_logs`; fewer than two models; a name for a run of several models.
    """
    named = [_name_and_path(run) for run in runs]
    paths = [path for _, path in named]
    if len({*paths}) < len(paths):
        again = next(path for path in paths if paths.count(path) > 1)
        raise SpecError(f"{again}: is given twice; a log is no repeat of itself.")
    read = [(name, path, read_logs(path, asked)) for name, path in named]
    twice = set() if seeds else _models_in_two(read)
    logs: Logs = {}
    notes: list[str] = []
    for name, path, found in read:
        models = {scores.model for scores in found}
        if name and len(models) > 1:
            raise SpecError(f"{name}={path}: one name is given, and there are {len(models)} models "
                            f"({', '.join(sorted(models)[:5])}).")  # fmt: skip
        for scores in found:
            if not name and scores.model in twice:
                scores.model = str(path) if len(models) == 1 else f"{path}: {scores.model}"
            scores.model = name or scores.model
            _name_seeds(scores, path, seeds)
            known = logs.setdefault(scores.task, {})
            if scores.model in known:
                _repeat(known[scores.model], scores, seeds)
            known.setdefault(scores.model, scores)
            notes += scores.notes
    if len({model for known in logs.values() for model in known}) < 2:
        raise DataError(f"{', '.join(map(str, runs))}: at least two models are required (seen: 1). "
                        "Give more logs; --model names the column of a table.")  # fmt: skip
    _check_tasks(logs, asked)
    if asked.metric is None:
        notes += _other_metrics(logs)
    return logs, [*dict.fromkeys(notes)]


def _other_metrics(logs: Logs) -> Iterator[str]:
    """Say once for every choice of metrics which of them is read."""
    first = (next(iter(known.values())) for known in logs.values())
    for metric, *others in {(each.metric, *each.metrics): None for each in first}:
        if len(others) > 1:
            yield (f"{metric} is compared; --metric names another (there are: "
                   f"{', '.join(others)})")  # fmt: skip


def _name_and_path(run: str | Path) -> tuple[str, Path]:
    name, equals, rest = str(run).partition("=")
    if equals and name and not Path(run).exists():
        return name, Path(rest).expanduser()
    return "", Path(run).expanduser()


def _models_in_two(read: Sequence[tuple[str, Path, list[Scores]]]) -> set[str]:
    """Return the models that two unnamed runs have on the same task."""
    seen: set[tuple[str, str]] = set()
    twice: set[str] = set()
    for name, _, found in read:
        keys = {(scores.model, scores.task) for scores in found if not name}
        twice |= {model for model, _ in keys & seen}
        seen |= keys
    return twice


def _name_seeds(scores: Scores, path: Path, seeds: bool) -> None:
    """Give every row a seed, where they are asked for; else seeds are epochs like any other."""
    if seeds:
        scores.seeds = scores.seeds or [str(path)] * len(scores.items)
        return
    if len({*scores.seeds}) > 1:
        epochs = scores.epochs or [""] * len(scores.items)
        scores.epochs = [", ".join(both) for both in zip(scores.seeds, epochs, strict=True)]
        scores.notes.append(
            f"{path.name}: training seeds count as repeated answers, so the intervals are for "
            "these trained models only; --seeds allows for other seeds"
        )
    scores.seeds = []


def _repeat(known: Scores, again: Scores, seeds: bool) -> None:
    """Append a log of the same model and task, as further seeds or epochs."""
    common = {*known.seeds} & {*again.seeds}
    if common:
        raise DataError(f"{known.origin} and {again.origin}: {known.model} has the seed "
                        f"{min(common)} in both; --seeds compares trainings of different "
                        "seeds.")  # fmt: skip
    if not seeds or known.epochs or again.epochs:
        known.epochs = known.epochs or ["1"] * len(known.items)
        run = f"{again.origin}, "
        known.epochs += [run + each for each in again.epochs or ["1"] * len(again.items)]
    known.seeds += again.seeds
    for column in ("items", "values", "clusters", "languages", "contents", "prompts"):
        own, more = getattr(known, column), getattr(again, column)
        if bool(own) != bool(more):
            raise DataError(f"{again.origin}: repeats of {known.model} need the same fields; "
                            f"{column} are in one only ({known.origin}).")  # fmt: skip
        own += more
    known.check()


def _check_tasks(logs: Logs, asked: Asked) -> None:
    absent = [task for task in asked.tasks if task not in logs]
    if absent:
        raise DataError(f"There is no task `{absent[0]}` (there are: {', '.join(logs)}).")
