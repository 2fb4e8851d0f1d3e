"""Each part alone: the functions behind ``mixmerge mix``, ``train`` and ``evaluate``.

A specification is given as a YAML file or as the object that such a file is read into. Paths in
it are relative to the working directory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from pydantic import BaseModel

from mixmerge.progress import Progress, silent
from mixmerge.study.spec_file import read_spec

if TYPE_CHECKING:
    from mixmerge.evaluation.spec import EvaluateJob
    from mixmerge.mixing.manifest import Manifest
    from mixmerge.mixing.spec import MixSpec
    from mixmerge.records import Results
    from mixmerge.records.judge_card import JudgeCard
    from mixmerge.training.report import TrainReport
    from mixmerge.training.spec import TrainJob

Spec = TypeVar("Spec", bound=BaseModel)


def mix(
    spec: "Path | str | MixSpec", out: Path | str, *, progress: Progress = silent
) -> "Manifest":
    """Mix data at exact shares by source and language.

    Args:
        spec: What to mix.
        out: Folder for ``rows.jsonl`` and ``manifest.json``.
        progress: Hears which source is read.

    Raises:
        UserError: the specification or a source is wrong, or a source is too small.
    """
    from mixmerge.mixing.materialise import mix as run
    from mixmerge.mixing.spec import MixSpec

    return run(_read(spec, MixSpec), Path(out), progress=progress)


def train(
    spec: "Path | str | TrainJob", out: Path | str, *, progress: Progress = silent
) -> "TrainReport":
    """Train one checkpoint by SFT or DPO; goes on where a killed call stopped.

    Args:
        spec: Model, rows, settings and placement.
        out: Folder for ``model/``, ``curve.jsonl`` and ``report.json``.
        progress: Hears of the steps.

    Raises:
        UserError: the specification, the rows, the model or the machine do not allow it.
    """
    from mixmerge.training.run import train as run
    from mixmerge.training.spec import TrainJob

    job = _read(spec, TrainJob)
    return run(
        job.settings,
        model=job.model,
        rows=job.rows,
        out=Path(out),
        placement=job.placement,
        reference_cache=job.reference_cache,
        progress=progress,
    )


@overload
def evaluate(
    spec: "Path | str | EvaluateJob",
    out: Path | str,
    *,
    calibrate: Literal[False] = False,
    budget: float | None = None,
    progress: Progress = silent,
) -> "Results": ...


@overload
def evaluate(
    spec: "Path | str | EvaluateJob",
    out: Path | str,
    *,
    calibrate: Literal[True],
    budget: float | None = None,
    progress: Progress = silent,
) -> "JudgeCard": ...


def evaluate(
    spec: "Path | str | EvaluateJob",
    out: Path | str,
    *,
    calibrate: bool = False,
    budget: float | None = None,
    progress: Progress = silent,
) -> "Results | JudgeCard":
    """Let models answer, judge the answers, and estimate both axes with intervals.

    Args:
        spec: Languages, models, prompts, judges and statistics.
        out: Folder for answers, verdicts and ``results.json``; called again, it goes on.
        calibrate: Only put the judges on trial, on the labelled answers; writes
            ``judge_card.json``.
        budget: Dollars that priced endpoints may cost together, instead of what the specification
            says.
        progress: Hears of answers and judge calls.

    Returns:
        The results, or the judge card.

    Raises:
        UserError: prompts, models, judges or the sample do not allow the evaluation.
    """
    from mixmerge.evaluation import run
    from mixmerge.evaluation.budget import with_budget
    from mixmerge.evaluation.spec import EvaluateJob
    from mixmerge.testbed.data import prompts
    from mixmerge.testbed.judge import RuleJudge

    work = run.calibrate if calibrate else run.evaluate
    job = _read(spec, EvaluateJob)
    return work(
        job if budget is None else with_budget(job, budget),
        Path(out),
        testbed_prompts=prompts,
        rule_judges={"testbed": RuleJudge()},
        progress=progress,
    )


def _read(spec: Path | str | Spec, kind: type[Spec]) -> Spec:
    return read_spec(Path(spec), kind) if isinstance(spec, (Path, str)) else spec
