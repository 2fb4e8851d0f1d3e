"""``mixmerge annotate``: people's labels of a run's answers, out to pages and back in."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mixmerge.annotation.adjudicate import adjudicate
from mixmerge.annotation.draw import JudgeRates
from mixmerge.annotation.exchange import FORMATS
from mixmerge.annotation.items import ExtraItem
from mixmerge.annotation.labels import LABELS_FILE, Collected, collect, write_labels
from mixmerge.annotation.plan import Request, make_task
from mixmerge.annotation.quality import (
    Agreement,
    AnnotatorQuality,
    agreements,
    annotators,
    disagreements,
)
from mixmerge.annotation.server import serving
from mixmerge.annotation.task import DRAWN, KeyItem, TaskPlan, read_task
from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.calibrate import calibrate
from mixmerge.evaluation.calibration.labels import CalibrateSpec
from mixmerge.evaluation.calibration.material import Material
from mixmerge.files import read_json, read_rows, write_json, write_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Item, Question, RowModel, Verdict
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import read_results
from mixmerge.spec_model import unknown_name
from mixmerge.study.run import recorded
from mixmerge.study.run import report as rebuild_report
from mixmerge.study.spec import BASE
from mixmerge.study.steps.calibrate import CARD
from mixmerge.study.steps.outputs import Outputs
from mixmerge.study.steps.results import RESULTS

REPORT, DISAGREEMENTS = "annotation.json", "disagreements.jsonl"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


class AnnotationReport(RowModel):
    """``annotation.json``: what people said, how far they agree, and the judge beside them."""

    labels: int
    """Labels of answers, one for each person, model and answer."""
    disagreements: int
    """Answers that people label differently."""
    no_majority: int
    """Of these, answers without a majority, which corrected rates leave out."""
    agreement: list[Agreement]
    annotators: list[AnnotatorQuality]
    notes: list[str]
    """What was refused, dropped or not computed."""
    card: JudgeCard | None
    """The judge against these labels, with corrected rates; None without verdicts or labels."""


def annotate_plan(
    run: Path | str,
    out: Path | str,
    *,
    annotators: Sequence[str],
    labels: int | None = None,
    half_width: float | None = None,
    overlap: float = 0.2,
    axes: Sequence[Axis] = (),
    models: Sequence[str] = (),
    languages: Sequence[str] = (),
    practice: Path | None = None,
    guidelines: Path | None = None,
    to: Sequence[str] = (),
    seed: int = 0,
) -> TaskPlan:
    """Draw answers of a run for people to label, and write the task folder ``out``.

    Args:
        run: The run folder.
        out: The task folder; ``out/pages`` may be sent, the rest has the key.
        annotators: ``NAME`` or ``NAME=ar,en``, the languages that this person reads.
        labels: Labels to ask for, of all annotators together; by default one for every answer.
        half_width: In place of ``labels``, the fewest that give corrected rates within so many
            points, on every axis.
        overlap: Share of the items that several annotators get.
        axes: Only these axes; by default all with verdicts of win, tie, loss, yes or no.
        models: Only answers of these models; by default all.
        languages: Only prompts in these languages.
        practice: JSON Lines of practice items and attention checks.
        guidelines: A text for annotators, in place of ours.
        to: Annotation tools to write the items for, too: ``argilla``, ``label_studio``.
        seed: Of the draw and of all orders.

    Raises:
        SpecError: a name is unknown or there are too few labels; the message says how many it
            takes.
        DataError: the folder has a task already, or a practice item is invalid.
    """
    if not 0 <= overlap <= 1:
        raise SpecError(f"--overlap {overlap:g}: a share from 0 to 1 is required.")
    if half_width is not None and (labels is not None or not 0 < half_width < 100):
        raise SpecError("--half-width: points between 0 and 100 are required, without --labels.")
    for tool in to:
        if tool not in FORMATS:
            raise SpecError(f"--to: {unknown_name(tool, 'annotation tools', FORMATS)}")
    people = _people(annotators)
    materials = _materials(run, axes, models)
    card = Path(run) / CARD
    request = Request(
        annotators=people,
        labels=labels,
        half_width=half_width and half_width / 100,
        overlap=overlap if len(people) > 1 else 0.0,
        languages=tuple(languages),
        models=tuple(models),
        seed=seed,
        extra=read_rows(practice, ExtraItem) if practice is not None else (),
        guidelines=guidelines.read_text(encoding="utf-8") if guidelines is not None else "",
        to=tuple(to),
        judged=_rates(JudgeCard.model_validate(read_json(card))) if card.is_file() else {},
    )
    return make_task(materials, request, Path(out), str(Path(run).absolute()))


def annotate_serve(
    folder: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    started: Callable[[Mapping[str, str]], None],
) -> None:
    """Serve the pages of a task folder until interrupted; labels are on disk once acknowledged.

    ``started`` hears the address of each annotator's page. Any host but a loopback address puts a
    random token into the addresses.

    Raises:
        SpecError: the folder is not a task folder.
        ResourceError: the port is taken, or another server has the folder.
    """
    with serving(Path(folder), host=host, port=port) as (server, addresses):
        started(addresses)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def annotate_adjudicate(
    folder: Path | str,
    files: Sequence[Path] = (),
    *,
    annotators: Sequence[str],
    run: Path | str | None = None,
) -> dict[str, int]:
    """Give the answers without a majority to other people, blind to the labels so far.

    Adds a page for each of ``annotators`` to the task folder, and returns how many answers each
    gets. ``files`` are the labels that annotators sent, as for `annotate_read`.

    Raises:
        SpecError: a name has a page already, nobody reads a language, or there is no such answer.
        HeldError: a server has the folder.
    """
    folder, people = Path(folder), _people(annotators)
    plan, key, found, materials = _labelled(folder, files, run)
    return adjudicate(folder, plan, key, found, materials, people)


def annotate_read(
    folder: Path | str,
    files: Sequence[Path] = (),
    *,
    run: Path | str | None = None,
    report: bool = False,
    progress: Progress = silent,
) -> AnnotationReport:
    """Read the labels of a task folder back, with files that annotators sent.

    Writes into the folder ``labels.jsonl`` and ``drawn.jsonl`` for ``calibrate``, ``verdicts`` for
    ``judge: {human: …}``, ``disagreements.jsonl`` and ``annotation.json``. With ``report`` also
    into the run: the judge card, and the report with corrected rates beside the judge's.

    Raises:
        DataError: a file is not of this task, or two people used one name.
        SpecError: the folder is not a task folder, or its run is gone.
    """
    folder = Path(folder)
    plan, _, found, materials = _labelled(folder, files, run)
    count = write_labels(folder, found, materials)
    differ = list(disagreements(found, materials))
    write_rows(folder / DISAGREEMENTS, differ)
    notes = list(found.notes)
    made = AnnotationReport(
        labels=count,
        disagreements=len(differ),
        no_majority=sum(each.majority is None for each in differ),
        agreement=agreements(found, materials),
        annotators=annotators(found, materials),
        card=_card(folder, Path(run or plan.run), materials, plan.seed, notes, progress),
        notes=notes,
    )
    write_json(folder / REPORT, made.model_dump(mode="json"))
    if report:
        if made.card is None:
            raise DataError(f"--report: {made.notes[-1]} The labels are kept.")
        rebuild_report(run or plan.run, card=made.card, progress=progress)
    return made


def _labelled(
    folder: Path, files: Sequence[Path], run: Path | str | None
) -> tuple[TaskPlan, list[KeyItem], Collected, list[Material]]:
    """Return a task's plan and key, its labels, and the answers of its run."""
    plan, key = read_task(folder)
    axes = list(dict.fromkeys(each.axis for each in plan.strata))
    materials = _materials(run or plan.run, axes, plan.models)
    if plan.languages:
        materials = [
            replace(each, prompts=[p for p in each.prompts if p.language in plan.languages])
            for each in materials
        ]
    return plan, key, collect(folder, plan.task, key, files, materials), materials


def _card(
    folder: Path,
    run: Path,
    materials: Sequence[Material],
    seed: int,
    notes: list[str],
    progress: Progress,
) -> JudgeCard | None:
    """Return the judge card of these labels, without probes: nothing is judged again."""
    judged = [each for each in materials if set(each.models) <= set(each.verdicts)]
    labels = folder / LABELS_FILE
    if not judged or not labels.read_bytes().strip():
        notes.append("No rates are corrected: " + ("no labels yet." if judged else "no verdicts."))
        return None
    results = run / RESULTS
    found = read_results(read_json(results), str(results)) if results.is_file() else None
    try:
        return calibrate(
            CalibrateSpec(labels=labels, drawn=folder / DRAWN, probes=0, questions=50),
            judged,
            contrasts=[
                each
                for each in (found.contrasts if found else ())
                if all({each.a, each.b} <= {m.base, *m.models} for m in judged)
            ],
            seed=seed,
            progress=progress,
        )
    except DataError as error:
        notes.append(f"No rates are corrected: {error}")
        return None


def _people(annotators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    people: dict[str, tuple[str, ...]] = {}
    for given in annotators:
        name, _, languages = given.partition("=")
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"--annotator {given}: NAME or NAME=ar,en is required, a name of up to 32 letters, "
                "digits, - or _. Use codes if names are confidential."
            )
        if name.lower() in map(str.lower, people):
            raise SpecError(
                f"--annotator {name}: two annotators have this name. Give each one another name "
                "or code, so that their labels can be told apart."
            )
        people[name] = tuple(filter(None, languages.split(",")))
    if not people:
        raise SpecError("--annotator: at least one name is required.")
    return people


def _rates(card: JudgeCard) -> dict[Axis, JudgeRates]:
    rates = {}
    for axis, trial in card.axes.items():
        sensitivity, specificity = trial.accuracy.sensitivity, trial.accuracy.specificity
        if sensitivity and specificity:
            found = f"{CARD}: {sensitivity.value:.2f} and {specificity.value:.2f}"
            source = f"sensitivity and specificity from {found}"
            rates[axis] = JudgeRates(sensitivity.value, specificity.value, source)
    return rates


class _Recorded:
    """The judge of a run, whose verdicts are there; it is not asked again."""

    def __init__(self, name: str) -> None:
        self.name = name

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Refuse to judge."""
        progress(0, len(items), "")
        raise DataError(f"{question.axis}: the run has no verdicts on {len(items)} answers.")


def _materials(run: Path | str, axes: Sequence[Axis], models: Sequence[str]) -> list[Material]:
    """Return a run's answers and verdicts on the axes that people can label.

    Raises:
        SpecError: an axis or a model is unknown, or no axis can be labelled yet.
    """
    prepared, folders, _ = recorded(run)
    study = prepared.study
    kept = Outputs(study, folders)
    judged = study.evaluate.judged
    known = [axis for axis, spec in judged.items() if spec.measure.asks != "grade"]
    for axis in axes:
        if axis not in known:
            raise SpecError(f"--axis: {unknown_name(axis, 'axes without grades', known)}")
    for name in models:
        if name not in (BASE, *study.checkpoints):
            raise SpecError(f"--model: {unknown_name(name, 'models', (BASE, *study.checkpoints))}")
    made = []
    for axis in axes or known:
        names = [name for name in (BASE, *study.checkpoints) if kept.answers(name, axis)]
        wanted = [name for name in names if not models or name in models or name == BASE]
        material = _material(kept, axis, wanted)
        if BASE in names and len(material.models) > 0:
            made.append(material)
    if not made:
        raise SpecError(
            f"{run}: there are no answers yet that people could label; `mixmerge run` makes them."
        )
    return made


def _material(kept: Outputs, axis: Axis, names: Sequence[str]) -> Material:
    spec = kept.study.evaluate.judged[axis]
    verdicts = {
        name: [row for rows in kept.read_verdicts(name, axis).values() for row in rows]
        for name in names
        if kept.verdicts(name, axis)
    }
    judge = next((rows[0].judge for rows in verdicts.values() if rows), "no judge")
    return Material(
        question=spec.measure.question(axis),
        info=spec.info(primary=axis in kept.study.evaluate.deciding),
        judge=_Recorded(judge),
        prompts=kept.read_prompts(axis),
        answers={name: kept.read_responses(name, axis) for name in names},
        base=BASE,
        verdicts=verdicts,
        worth=spec.measure.worth,
    )
