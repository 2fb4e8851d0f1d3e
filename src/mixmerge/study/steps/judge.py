"""``judge/MODEL``: judge a model's answers on every axis."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any

from mixmerge.evaluation.judges import JudgeContext, JudgeSpec, loads_weights, members
from mixmerge.evaluation.measures import MeasureSpec
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.execution.environment import cpu_threads
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_rows
from mixmerge.fingerprint import files_below
from mixmerge.progress import Progress
from mixmerge.records import Axis, Judge, Prompt, Response, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.kind import ROWS, StepKind, inputs_of, within_cores

TRIAL = "calibrate.jsonl"
"""Name of the journal of a trial's calls, beside the judge steps' own."""


class JudgedAxis(SpecModel):
    """An axis with its question and judge."""

    measure: MeasureSpec
    judge: dict[str, Any]
    """The settings that identify the judge."""
    answers: Axis | None = None
    """The axis with the same prompts whose answers are judged; None: its own."""


class JudgeSettings(SpecModel):
    """The axes to judge."""

    axes: dict[Axis, JudgedAxis]


class JudgeFacts(RowModel):
    """The number of verdicts by axis."""

    verdicts: dict[Axis, int]


class Judging(StepKind[JudgeSettings, JudgeFacts], kind="judge"):
    """Judges one model's answers; the base model is not compared with itself."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each model of each round."""
        for each in rounds(study):
            axes = each.evaluate.judged
            asked, placement, files, needs = judged_axes(study, each.evaluate)
            for name in each.models if axes else ():
                inputs = {f"prompts:{axis}": f"prompts/{axis}{each.suffix}" for axis in axes}
                inputs |= {
                    "answers": f"generate/{name}{each.suffix}",
                    "base_answers": f"generate/{BASE}{each.suffix}",
                }
                yield Step(
                    self.kind,
                    f"{name}{each.suffix}",
                    {"axes": asked},
                    inputs,
                    files,
                    placement | {"model": name},
                    needs=needs,
                    # A judge on this machine is loaded once for all models.
                    together=f"judge{each.suffix}" if "threads" in placement else "",
                )

    def run(self, task: Task, settings: JudgeSettings, progress: Progress) -> JudgeFacts:
        """Judge."""
        from mixmerge.evaluation.judging import judge, require_answers

        is_base = task.inputs["answers"] == task.inputs["base_answers"]
        journal = _journal(task)
        judges: dict[str, Judge] = {}
        counted = {}
        for axis, folder in inputs_of(task, "prompts").items():
            measure = settings.axes[axis].measure
            if is_base and measure.of_base is not None:
                continue
            # Axes with the same judge share one object, so that a local model is loaded once.
            spec = task.placement["axes"][axis]
            judges[repr(spec)] = by = judges.get(repr(spec)) or judge_for(task, axis, journal)
            answered = f"{settings.axes[axis].answers or axis}.jsonl"
            with judge_threads(task):
                verdicts = judge(
                    measure.question(axis),
                    read_rows(folder / ROWS, Prompt),
                    read_rows(task.inputs["answers"] / answered, Response),
                    base_answers=read_rows(task.inputs["base_answers"] / answered, Response),
                    by=by,
                    out=task.folder / f"{axis}.jsonl",
                    progress=progress,
                )
            counted[axis] = len(verdicts)
            require_answers(axis, verdicts)
        return JudgeFacts(verdicts=counted)


def judged_axes(
    study: Study, evaluate: EvaluateSpec
) -> tuple[dict[Axis, Any], dict[str, Any], dict[str, str], Needs]:
    """Return the settings, placement, files and needs of a step that judges every axis."""
    axes = evaluate.judged
    settings = {
        axis: {"measure": spec.measure.model_dump(mode="json"), "judge": spec.judge.identity()}
        | ({"answers": first} if (first := evaluate.answered(axis)) != axis else {})
        for axis, spec in axes.items()
    }
    placement: dict[str, Any] = {
        "axes": {axis: spec.judge.model_dump(mode="json") for axis, spec in axes.items()},
        "allow_execution": evaluate.allow_execution,
    }
    needs = Needs(seconds=2)
    if any(loads_weights(spec.judge) for spec in axes.values()):
        placement["threads"] = study.placement.judge.threads
        gigabytes = _weights_gb(spec.judge for spec in axes.values())
        needs = replace(needs, cpus=placement["threads"], gpus=1, memory_gb=gigabytes)
    files = {
        f"{axis}:{role}": str(path)
        for axis, spec in axes.items()
        for role, path in spec.judge.paths().items()
    }
    return settings, placement, files, needs


def _weights_gb(judges: Iterable[JudgeSpec]) -> float:
    """Return the size on disk of the models of local judges, in gigabytes; those here, each once.

    A process holds at least this much, so that no more of them start than fit into the memory.
    """
    loaded = [member for judge in judges for member in members(judge) if member.loads_weights]
    folders = {path for member in loaded for path in member.paths().values() if path.is_dir()}
    files = [file for folder in folders for file in files_below(folder)]
    return sum(file.stat().st_size for file in files) / 1e9


def judge_threads(task: Task) -> AbstractContextManager[None]:
    """Give a judge on this machine its CPU threads; the placement is that of `judged_axes`."""
    threads = within_cores(task.placement).get("threads")
    return cpu_threads(threads) if threads else nullcontext()


def judge_for(task: Task, axis: Axis, journal: Path) -> Judge:
    """Return the judge of an axis; the placement is that of `judged_axes`.

    The journal is a file of finished calls to a judge model, which are not repeated.
    """
    return judge_spec(task, axis).build(judge_context(task, journal))


def judge_context(task: Task, journal: Path) -> JudgeContext:
    """Return what judges are built from; the placement is that of `judged_axes`."""
    from mixmerge.testbed.judge import RuleJudge

    return JudgeContext(
        journal=journal,
        model=task.placement.get("model", BASE),
        rule_judges={"testbed": RuleJudge()},
        allow_execution=task.placement["allow_execution"],
        private=(task.folder.parents[1],),
    )


def judge_spec(task: Task, axis: Axis) -> JudgeSpec:
    """Return the specification of an axis's judge; the placement is that of `judged_axes`."""
    from pydantic import TypeAdapter

    spec: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(task.placement["axes"][axis])
    return spec


def _journal(task: Task) -> Path:
    """Return the journal of the step's judge calls; it starts with those of an earlier trial."""
    journal = task.cache / "judge" / f"{task.name}.jsonl"
    trial = journal.with_name(TRIAL)
    if trial.is_file() and not journal.exists():
        copyfile(trial, journal)
    return journal


KINDS = (Judging(),)
