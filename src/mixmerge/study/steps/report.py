"""``report/study``: collect what the report shows from the steps' folders."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.evaluation.calls.spending import spent
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.execution.store import RECORD
from mixmerge.files import read_json, whole_folder, write_bytes
from mixmerge.progress import Progress
from mixmerge.records import Results, RowModel
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import read_results
from mixmerge.reporting.input import ReportInput, StepCost
from mixmerge.reporting.samples import SAMPLES
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.answers import Answers, answers_step
from mixmerge.study.steps.calibrate import CARD
from mixmerge.study.steps.kept import KeptModel
from mixmerge.study.steps.kind import Folders, StepKind
from mixmerge.study.steps.results import (
    RESULTS,
    chosen_lengths,
    compute_results,
    costing_step,
    results_settings,
    verdict_steps,
    with_folders,
)
from mixmerge.study.steps.samples import recipes, study_samples

STUDY_FILE = "study.yaml"
"""Name of the copy of the study file in a run folder."""


class ReportSettings(SpecModel):
    """The study, without its placement."""

    study: Study


class ReportFacts(RowModel):
    """What the report could not show."""

    left_out: str = ""
    """What the page of samples leaves out, in a sentence; empty if it is nothing."""


class Report(StepKind[ReportSettings, ReportFacts], kind="report"):
    """Writes the report of a finished study."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield the one step; `mixmerge.study.steps.steps` makes all others its inputs."""
        settings = {"study": study.model_dump(mode="json", exclude={"placement", "tracking"})}
        yield Step(self.kind, "study", settings, needs=Needs(seconds=15))

    def run(self, task: Task, settings: ReportSettings, progress: Progress) -> ReportFacts:
        """Write the page with its tables and figures."""
        from mixmerge.reporting.write import write_report

        written = task.folder.parents[1] / STUDY_FILE
        text = written.read_text(encoding="utf-8") if written.is_file() else ""
        data = gather(settings.study, task.inputs, study_file=text, run=task.folder.parents[1])
        said: list[str] = []
        write_report(data, task.folder, progress=progress, say=said.append)
        return ReportFacts(left_out=" ".join(said))


def publish(step: Path, run: Path) -> str:
    """Copy a finished step's report to the top of the run folder, in place of an earlier one.

    Return what the page of samples leaves out, in a sentence; empty if it is nothing.
    """
    for name in ("tables", "figures"):
        with whole_folder(run / name) as folder:
            shutil.copytree(step / name, folder, dirs_exist_ok=True)
    for name in ("report.html", SAMPLES):
        if (step / name).is_file():
            write_bytes(run / name, (step / name).read_bytes())
        else:
            (run / name).unlink(missing_ok=True)
    return Report().read_facts(read_json(step / RECORD)).left_out


def gather(
    study: Study,
    folders: Folders,
    *,
    unfinished: Sequence[str] = (),
    study_file: str = "",
    run: Path | None = None,
    card: JudgeCard | None = None,
) -> ReportInput:
    """Collect the input of the report of a finished or unfinished study.

    ``folders`` holds the finished steps' folders by step id, ``unfinished`` the ids of the others.
    The ``run`` folder has the record of what calls to endpoints have cost. A ``card`` takes the
    place of the study's own.

    Raises:
        SpecError: no model has been judged yet, so there is nothing to report.
    """
    found = _results(study, folders)
    found = found if run is None else with_folders(found, study, folders, run)
    records = {
        name: read_json(folder / RECORD)
        for name, folder in folders.items()
        if (folder / RECORD).is_file()
    }
    trial = folders.get("calibrate/study")
    told = recipes(study, found.models)
    return ReportInput(
        results=found,
        base=study.base.model or "",
        judge_card=card or (trial and JudgeCard.model_validate(read_json(trial / CARD))),
        title=study.report.title or study.study,
        languages=study.languages,
        parents={name: _made_from(study, name) for name in found.models if name != BASE},
        recipes=told,
        samples=study_samples(study, folders, found, told),
        steps=[_cost(record) for record in records.values()],
        dollars={} if run is None else spent(run),
        unfinished=list(unfinished),
        versions=next((record["versions"] for record in records.values()), {}),
        study_file=study_file,
        command=f"mixmerge run {study.study}.yaml --seed {study.seed}",
    )


def _results(study: Study, folders: Folders) -> Results:
    done = folders.get("results/study")
    if done is not None:
        return read_results(read_json(done / RESULTS), str(done / RESULTS))
    settings = results_settings(study)
    trainings = {name: info.trainings for name, info in settings.models.items()}
    known = [
        name
        for name in (BASE, *study.checkpoints, *study.measured_merges())
        if _is_known(study, name, trainings.get(name, []), folders)
    ]
    if len(known) < 2 or BASE not in known:
        raise SpecError(
            "nothing to report yet: the base model and at least one checkpoint must be judged. "
            "`mixmerge run` continues the study."
        )
    steps = {each: costing_step(study, each) for own in trainings.values() for each in own}
    trained = {each: folders[step] for each, step in steps.items() if step in folders}
    verdicts = {
        role: folders[step] for name in known for role, step in verdict_steps(study, name).items()
    }
    answers = {n: folders[f"generate/{n}"] for n in known if f"generate/{n}" in folders}
    picks = {name: f"select/{name}" for name in chosen_lengths(study)}
    chosen = {name: folders[step] for name, step in picks.items() if step in folders}
    return compute_results(settings, verdicts, trained, answers, chosen)


def _is_known(study: Study, name: str, trainings: Sequence[str], folders: Folders) -> bool:
    """Return whether a model's verdicts, answers and trainings are all finished."""
    needed = [*verdict_steps(study, name).values()]
    needed += [costing_step(study, each) for each in trainings]
    needed += [f"generate/{name}"] if study.evaluate.judged else []
    return all(step in folders for step in needed)


def _made_from(study: Study, name: str) -> list[str]:
    """Return the parents of a model, and the step of the answers that it is trained on.

    Several students may share these answers, so they count as a parent of each.
    """
    answered = [answers_step(study, name)] if study.answered(name) else []
    return [*study.parents(name), *answered]


def _cost(record: Mapping[str, Any]) -> StepCost:
    is_model = record["kind"] in ("train", "merge", "generate", "judge", "base", "given")
    shared = f"{Answers.kind}/{record['name']}" if record["kind"] == Answers.kind else None
    return StepCost(
        name=record["name"],
        kind=record["kind"],
        model=record["name"] if is_model else shared,
        seconds=record["seconds"],
        gpus=record.get("gpus", 0),  # absent from records of earlier versions
        # A kept step's tokens are the training's.
        tokens=record["facts"].get("tokens") if record["kind"] != KeptModel.kind else None,
        notes=record["facts"].get("notes", []),
    )


KINDS = (Report(),)
