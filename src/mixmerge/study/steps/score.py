"""``score/MODEL@AXIS``: read one model's scores from a harness's log, or from a given one."""

from collections.abc import Iterable
from typing import Any

from mixmerge.evaluation.measures import MeasureSpec
from mixmerge.evaluation.sources import SOURCES, ScoredAxis
from mixmerge.evaluation.sources.log import LogBase
from mixmerge.execution.step import Step, Task
from mixmerge.files import write_rows
from mixmerge.progress import Progress
from mixmerge.records import Axis, RowModel
from mixmerge.records.results import Better
from mixmerge.spec_model import SpecModel
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.harness import LOG, Harness, scored_name
from mixmerge.study.steps.kind import ROWS, StepKind

TEXTS = "texts"
"""Name of the folder with the prompts, in the file `ROWS`, and the answers."""
ANSWERS = "answers.jsonl"


class ScoreSettings(SpecModel):
    """What is read of a log."""

    axis: Axis
    measure: MeasureSpec
    reading: dict[str, Any]
    """What `SourceSpec.reading` returned."""
    better: Better | None
    languages: list[str]
    names: list[str]
    """What a given log may call the model, the likeliest first; empty for a harness's own log."""
    base_names: list[str]
    """The same for the base model."""


class ScoreFacts(RowModel):
    """What was read."""

    rows: int
    clusters: int
    better: Better
    """Which direction of the scores is better."""
    notes: list[str]
    """What is missing in the log, or was guessed."""


class Score(StepKind[ScoreSettings, ScoreFacts], kind="score"):
    """Reads the scores of one model on one axis as verdicts, with prompts and answers."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each axis that is scored by a harness or a log, and each model."""
        models = rounds(study)[0].models
        for axis, spec in study.evaluate.scored.items():
            for name in models:
                yield self._step(study, axis, spec, name)

    def _step(self, study: Study, axis: Axis, spec: ScoredAxis, name: str) -> Step:
        source = spec.source
        inputs: dict[str, str] = {}
        files: dict[str, str] = {}
        if isinstance(source, LogBase):
            files = {"log": str(source.place)}
        else:
            roles = {"log": name, "base_log": BASE}
            inputs = {
                role: f"{Harness.kind}/{scored_name(each, axis)}" for role, each in roles.items()
            }
        return Step(
            self.kind,
            scored_name(name, axis),
            {
                "axis": axis,
                "measure": spec.measure.model_dump(mode="json"),
                "reading": source.reading(),
                "better": spec.better,
                "languages": study.languages,
                "names": names_in_log(study, spec, name),
                "base_names": names_in_log(study, spec, BASE),
            },
            inputs,
            files,
            {"axis": spec.model_dump(mode="json", include={spec.key})},
        )

    def run(self, task: Task, settings: ScoreSettings, progress: Progress) -> ScoreFacts:
        """Read the log."""
        from mixmerge.evaluation.sources import reading

        progress(0, 1, settings.axis)
        (key,) = task.placement["axis"]
        source = SOURCES[key].model_validate(task.placement["axis"]).source
        if settings.names:  # a given log has the scores of all models
            place = task.files["log"]
            read = reading.read(source, place)
            own, base = (
                reading.of_model(read, names, place)
                for names in (settings.names, settings.base_names)
            )
        else:
            own, base = (
                reading.read(source, task.inputs[role] / LOG) for role in ("log", "base_log")
            )
        reading.require_same_items(own, base, task.name.partition("@")[0])
        language = source.language or settings.languages[0]
        rows = reading.verdicts(own, settings.axis, settings.measure, language)
        write_rows(task.folder / f"{settings.axis}.jsonl", rows)
        prompts, answers = reading.texts(own, source, rows)
        write_rows(task.folder / TEXTS / ROWS, prompts)
        write_rows(task.folder / TEXTS / ANSWERS, answers)
        return ScoreFacts(
            rows=len(rows),
            clusters=len({row.cluster for row in rows}),
            better=settings.better or own[0].better or "higher",
            notes=[note for scores in own for note in scores.notes],
        )


def names_in_log(study: Study, spec: ScoredAxis, name: str) -> list[str]:
    """Return what a given log may call a model, the likeliest first; none for a harness's log."""
    if not isinstance(spec.source, LogBase):
        return []
    if name in spec.source.models:
        return [spec.source.models[name]]
    given = study.given().get(name)
    return [name] if given is None or given.model is None else [name, given.model.partition("@")[0]]


KINDS = (Score(),)
