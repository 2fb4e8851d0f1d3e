"""Check axes that harnesses and logs score, before anything is trained for them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from mixmerge.errors import UserError
from mixmerge.evaluation.sources import HarnessSpec
from mixmerge.evaluation.sources.log import LogBase
from mixmerge.execution.plan import Planned
from mixmerge.records import Axis
from mixmerge.spec_model import quoted
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import Study
from mixmerge.study.steps.harness import Harness
from mixmerge.study.steps.score import Score, names_in_log
from mixmerge.yaml_file import Place

Weight = Literal["error", "missing", "warning", "note"]
Problem = tuple[Place, str, Weight]


def scored_problems(study: Study, todo: Sequence[Planned]) -> Iterator[Problem]:
    """Yield checkpoints without scores in a given log, and what is missing in it."""
    for axis in _pending(todo, Score.kind):
        spec = study.evaluate.scored[axis]
        if isinstance(spec.source, LogBase):
            yield from _unmatched(study, axis, spec.source)


def unknown_tasks(study: Study, todo: Sequence[Planned]) -> Iterator[Problem]:
    """Yield tasks that their harness does not know; to list them takes seconds."""
    for axis in _pending(todo, Harness.kind):
        source = study.evaluate.scored[axis].source
        if isinstance(source, HarnessSpec) and (said := source.unknown()):
            yield ("evaluate", "axes", axis, study.evaluate.scored[axis].key, "task"), said, "error"


def _pending(todo: Sequence[Planned], kind: str) -> list[Axis]:
    names = [item.step.name for item in todo if item.step.kind == kind]
    return list(dict.fromkeys(name.partition("@")[2] for name in names))


def _unmatched(study: Study, axis: Axis, source: LogBase) -> Iterator[Problem]:
    from mixmerge.evaluation.sources import reading

    place: Place = ("evaluate", "axes", axis, "log")
    spec, path = study.evaluate.scored[axis], Path(source.place)
    models = rounds(study)[0].models
    for name in source.models.keys() - {*models}:
        yield (*place, "models"), f"{name} is not a checkpoint ({quoted(models)}).", "error"
    matched: set[str] = set()
    try:
        found = reading.read(source, path)
    except UserError as error:
        yield place, str(error), "error"
        return
    for name in models:
        try:
            own = reading.of_model(found, names_in_log(study, spec, name), path)
        except UserError as error:
            yield place, str(error), "error"
        else:
            matched |= {scores.model for scores in own}
    left = sorted({scores.model for scores in found} - matched)
    if left:
        yield place, f"{axis}: no checkpoint is called {quoted(left)}; not used.", "note"
    for note in dict.fromkeys(note for scores in found for note in scores.notes):
        yield place, f"{axis}: {note}.", "warning"
