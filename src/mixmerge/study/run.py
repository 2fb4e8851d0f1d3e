"""Run a study, or rebuild its report: the functions behind the commands."""

from collections.abc import Callable, Sequence
from contextlib import chdir, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

from mixmerge.errors import SpecError, StepFailedError
from mixmerge.execution.engines import engine_by_name
from mixmerge.execution.events import Listener, Warned, ignore
from mixmerge.execution.plan import plan
from mixmerge.execution.schedule import ATTEMPTS, Outcome
from mixmerge.execution.schedule import run as walk
from mixmerge.execution.step import Step, needed_for
from mixmerge.execution.store import Store
from mixmerge.files import (
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from mixmerge.progress import Progress, silent
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Results
from mixmerge.study.budget import with_budget
from mixmerge.study.check import read_study, whole_text
from mixmerge.study.preflight import missing_files, preflight, refuse
from mixmerge.study.recorded import RecordedStore, to_show
from mixmerge.study.spec import Study
from mixmerge.study.steps import steps
from mixmerge.study.steps.calibrate import CARD, Calibrate
from mixmerge.study.steps.report import STUDY_FILE, publish
from mixmerge.study.steps.results import RESULTS, with_folders
from mixmerge.study.tracking import Tracker
from mixmerge.yaml_file import to_yaml

DEMO = Path(__file__).with_name("testbed.yaml")
"""The study file of ``mixmerge demo``."""

RUN_FILE = "run.json"
_HANDLERS = "mixmerge.study.steps:HANDLERS"
_PRELOAD = ("mixmerge.cli.main", "mixmerge.study.warm")


@dataclass(frozen=True)
class Finished:
    """The outputs of a finished study."""

    results: Results
    results_file: Path
    report_file: Path
    left_out: str
    """What the page of samples leaves out, in a sentence; empty if it is nothing."""


@dataclass(frozen=True)
class Prepared:
    """A study that has been read and checked, with its run folder."""

    study: Study
    text: str
    root: Path
    steps: list[Step]
    file: Path | None = None
    """The study file, for line numbers in messages; None for a study made in Python."""

    def run(
        self,
        listener: Listener,
        *,
        workers: int | None = None,
        only: Sequence[str] | None = None,
        engine: str = "local",
        attempts: int = ATTEMPTS,
        probe: bool = True,
    ) -> Finished | None:
        """Run the pending steps; return the outputs, or None when ``only`` leaves out the report.

        Raises:
            StepFailedError: steps failed; steps that do not depend on them were finished.
            SpecError: ``only`` names a step that does not exist, or something that the run needs is
                missing, such as an endpoint's key; the message lists all of it.
        """
        self._check_only(only)
        runs = engine_by_name(
            engine, _HANDLERS, workers=workers, preload=_PRELOAD, placement=self.study.placement
        )
        with closing(runs):
            store, begin = Store(self.root), self._write_study
            self._preflight(listener, only, probe=probe)
            tracking = self.study.tracking
            heard = Tracker(tracking, self.study.study, listener) if tracking else listener
            outcome = walk(self.steps, store, runs, heard, only, attempts=attempts, begin=begin)
        if outcome.failed:
            raise _failure(outcome)
        self._publish_card(outcome)
        return self._publish(outcome) if "report/study" in outcome.done else None

    def _preflight(self, tell: Listener, only: Sequence[str] | None, *, probe: bool) -> None:
        planned = plan(self.steps, Store(self.root))
        findings = preflight(self.study, planned, self.root, only, probe=probe).findings
        for finding in findings:
            if finding.weight == "warning":
                tell(Warned(finding.said(self.file)))
        refuse([finding.said(self.file) for finding in findings if finding.fatal])

    def _write_study(self) -> None:
        write_text(self.root / STUDY_FILE, self.text)
        # Paths in the study file are relative to this directory, and the report reads them again.
        run = {"seed": self.study.seed, "directory": str(Path.cwd())}
        write_json(self.root / RUN_FILE, run)

    def _check_only(self, only: Sequence[str] | None) -> None:
        known = [step.id for step in self.steps]
        for name in only or ():
            if name not in known:
                raise SpecError(
                    f"--only {name}: there is no such step; there are {', '.join(known)}."
                )

    def _publish_card(self, outcome: Outcome) -> None:
        """Copy the judge card to the top of the run folder, replacing an earlier study's."""
        trials = [folder for id_, folder in outcome.done.items() if id_.startswith("calibrate/")]
        if trials:
            write_bytes(self.root / CARD, (trials[-1] / CARD).read_bytes())
        elif "report/study" in outcome.done:
            (self.root / CARD).unlink(missing_ok=True)

    def _publish(self, outcome: Outcome) -> Finished:
        results, report = outcome.done["results/study"], outcome.done["report/study"]
        found = Results.model_validate(read_json(results / RESULTS))
        found = with_folders(found, self.study, outcome.done, self.root)
        write_json(self.root / RESULTS, found.model_dump(mode="json"))
        return Finished(
            results=found,
            results_file=self.root / RESULTS,
            report_file=self.root / "report.html",
            left_out=publish(report, self.root),
        )


def prepare(
    study: Path | str | Study,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    budget: float | None = None,
    with_files: bool = True,
) -> Prepared:
    """Read and check a study file and lay out its steps, without running or writing anything.

    The arguments are those of `run`; ``with_files`` also checks the files that the study names.

    Raises:
        SpecError: the study file is invalid (the message gives the line), a file that it names is
            missing, or the seed is invalid.
    """
    path = None
    if isinstance(study, Study):
        read, text = study, to_yaml(study.model_dump(mode="json", exclude_unset=True))
    else:
        path = Path(study)
        if not path.is_file():
            raise SpecError(f"{path}: no such file; `mixmerge run` takes a study file.")
        read, text = read_study(path), whole_text(path)
    if seed is not None:
        if not 0 <= seed < 2**32:
            raise SpecError(f"--seed {seed}: a seed is a whole number from 0 to {2**32 - 1}.")
        read = read.model_copy(update={"seed": seed})
    if budget is not None:
        read = with_budget(read, budget)
    prepared = Prepared(read, text, Path(out or Path("runs") / read.study), steps(read), path)
    if with_files and (missing := missing_files(prepared.steps)):
        raise SpecError("\n".join(finding.said(path) for finding in missing))
    return prepared


def run(
    study: Path | str,
    out: Path | str | None = None,
    *,
    only: Sequence[str] | None = None,
    workers: int | None = None,
    seed: int | None = None,
    engine: str = "local",
    attempts: int = ATTEMPTS,
    budget: float | None = None,
    probe: bool = True,
    listener: Listener = ignore,
) -> Finished | None:
    """Run a study; resumes an interrupted run and reuses steps that have not changed.

    Args:
        study: The study file.
        out: The run folder; by default ``runs/<study's name>``.
        only: Ids (kind/name) of the steps to run, with what they need.
        workers: Most cores to use; by default all.
        seed: Overrides the study's seed.
        engine: Where steps run: ``local``, ``slurm`` or ``ray``.
        attempts: Tries of a step that fails for a transient reason.
        budget: Limit in dollars on the judges together; overrides the study's budget.
        probe: Ask every endpoint for one token before long work starts.
        listener: Called with every event of a step.

    Returns:
        The outputs, or None when ``only`` leaves out the report.

    Raises:
        SpecError: the study file is invalid; the message gives the line.
        StepFailedError: steps failed; steps that do not depend on them were finished.
    """
    prepared = prepare(study, out, seed=seed, budget=budget)
    return prepared.run(
        listener, workers=workers, only=only, engine=engine, attempts=attempts, probe=probe
    )


def demo(
    out: Path | str = Path("runs/demo"),
    *,
    seed: int | None = None,
    workers: int | None = None,
    listener: Listener = ignore,
) -> Finished:
    """Run the embedded study on the testbed; see `run`."""
    finished = run(DEMO, out, seed=seed, workers=workers, listener=listener)
    assert finished is not None
    return finished


@overload
def evaluate(
    spec: Path | str | Study,
    out: Path | str,
    *,
    calibrate: Literal[False] = False,
    workers: int | None = None,
    budget: float | None = None,
    listener: Listener = ignore,
) -> Results: ...


@overload
def evaluate(
    spec: Path | str | Study,
    out: Path | str,
    *,
    calibrate: Literal[True],
    workers: int | None = None,
    budget: float | None = None,
    listener: Listener = ignore,
) -> JudgeCard: ...


def evaluate(
    spec: Path | str | Study,
    out: Path | str,
    *,
    calibrate: bool = False,
    workers: int | None = None,
    budget: float | None = None,
    listener: Listener = ignore,
) -> Results | JudgeCard:
    """Evaluate existing models: generate answers, judge them, estimate every axis with intervals.

    The study trains nothing. ``calibrate`` only tests the judges, on the labelled answers, and
    writes ``judge_card.json``; a later evaluation reuses their verdicts. The other arguments are
    those of `run`.

    Raises:
        SpecError: the study is invalid, or trains a checkpoint.
        StepFailedError: steps failed; steps that do not depend on them were finished.
    """
    prepared = prepare_evaluation(spec, out, calibrate=calibrate, budget=budget)
    finished = prepared.run(listener, workers=workers)
    if calibrate:
        return JudgeCard.model_validate(read_json(prepared.root / CARD))
    assert finished is not None
    return finished.results


def prepare_evaluation(
    spec: Path | str | Study,
    out: Path | str,
    *,
    calibrate: bool = False,
    budget: float | None = None,
) -> Prepared:
    """Lay out the steps of `evaluate`."""
    prepared = prepare(spec, out, budget=budget)
    trained = list(prepared.study.trained())
    if trained:
        raise SpecError(
            f"checkpoints.{trained[0]}: is trained, and `mixmerge evaluate` takes models that "
            "exist. Use `mixmerge run`."
        )
    if not calibrate:
        return prepared
    if prepared.study.evaluate.calibrate is None:
        raise SpecError(
            "`evaluate` needs a section `calibrate` that says where the labels come from, e.g. "
            "`calibrate: {rules: testbed}` or `calibrate: {labels: labels.jsonl}`."
        )
    trial = Calibrate().step(prepared.study, judged=False)
    wanted = needed_for([trial.id], {step.id: step for step in [*prepared.steps, trial]})
    return replace(prepared, steps=[*(s for s in prepared.steps if s.id in wanted), trial])


def report(
    folder: Path | str,
    *,
    card: JudgeCard | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Rebuild tables, figures and ``report.html`` of a run, finished or not; return the page.

    Needs no files outside the run folder; see `recorded`. A ``card``, from people's labels, takes
    the place of the study's own, also in later reports of the run as it is now. ``say`` hears what
    the pages leave out, if anything.

    Raises:
        SpecError: the folder is not a run folder, or nothing in it has been judged yet.
    """
    from mixmerge.reporting.write import write_report
    from mixmerge.study.steps.report import gather

    prepared, shown, unfinished = recorded(folder)
    kept = prepared.root / CARD
    if card is not None:
        write_json(kept, card.model_dump(mode="json"))
    elif prepared.study.evaluate.calibrate is None and not unfinished and kept.is_file():
        card = JudgeCard.model_validate(read_json(kept))
    data = gather(
        prepared.study,
        shown,
        unfinished=unfinished,
        study_file=prepared.text,
        run=prepared.root,
        card=card,
    )
    return write_report(data, Path(folder), progress=progress, say=say)


def recorded(folder: Path | str) -> tuple[Prepared, dict[str, Path], list[str]]:
    """Read a run folder: its study, the finished steps' folders by id, and the unfinished ids.

    Changes the working directory to the run's while it looks for files that the study names.

    Raises:
        SpecError: the folder is not a run folder.
    """
    root = Path(folder).absolute()
    if not (root / STUDY_FILE).is_file():
        raise SpecError(
            f"{folder}: no {STUDY_FILE}; give the folder of a `mixmerge run` or `demo`."
        )
    ran = read_json(root / RUN_FILE)
    directory = Path(ran.get("directory", "."))
    store = RecordedStore(root)
    with chdir(directory if directory.is_dir() else "."):
        prepared = prepare(root / STUDY_FILE, root, seed=ran["seed"], with_files=False)
        planned = plan(prepared.steps, store)
    unfinished = [
        item.step.id
        for item in planned
        if item.state != "done" and item.step.kind not in ("results", "report")
    ]
    return prepared, to_show(planned, store), unfinished


def _failure(outcome: Outcome) -> StepFailedError:
    same: dict[str, list[str]] = {}
    for name, (_, message) in outcome.failed.items():
        same.setdefault(message, []).append(name)
    lines = [f"{', '.join(names)}: {message}" for message, names in same.items()]
    blocked = f"; {len(outcome.blocked)} that need them did not run" if outcome.blocked else ""
    head = f"{len(outcome.failed)} step(s) failed{blocked}; {len(outcome.done)} are done and kept."
    error = StepFailedError("\n".join([head, *lines]))
    error.code = 1 if any(code == 1 for code, _ in outcome.failed.values()) else 2
    return error
