"""Parts without a study: ``mixmerge mix``, ``mixmerge train`` and ``mixmerge generate-data``.

A specification is a YAML file, or the object that such a file is read into. Paths in it are
relative to the working directory.
"""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from mixmerge.progress import Progress, silent
from mixmerge.study.spec_file import read_spec

if TYPE_CHECKING:
    from mixmerge.mixing.manifest import Manifest
    from mixmerge.mixing.spec import MixSpec
    from mixmerge.synthesis.report import GenerationReport
    from mixmerge.synthesis.spec import GenerateDataSpec
    from mixmerge.training.report import TrainReport
    from mixmerge.training.spec import TrainJob

Spec = TypeVar("Spec", bound=BaseModel)


def mix(
    spec: "Path | str | MixSpec", out: Path | str, *, progress: Progress = silent
) -> "Manifest":
    """Mix data at exact shares by source and language.

    Writes ``rows.jsonl`` and ``manifest.json`` into the folder ``out``.

    Raises:
        UserError: the specification or a source is invalid, or a source is too small.
    """
    from mixmerge.mixing.materialise import mix as run
    from mixmerge.mixing.spec import MixSpec

    return run(_read(spec, MixSpec), Path(out), progress=progress)


def train(
    spec: "Path | str | TrainJob", out: Path | str, *, progress: Progress = silent
) -> "TrainReport":
    """Train one checkpoint by SFT or DPO; resumes where a killed call stopped.

    Writes ``model/``, ``curve.jsonl`` and ``report.json`` into the folder ``out``.

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
        teachers=job.teachers,
        progress=progress,
    )


def generate_data(
    spec: "Path | str | GenerateDataSpec",
    out: Path | str,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> "GenerationReport":
    """Make training data from seeds: prompts, translations, answers and preference pairs.

    Writes ``rows.jsonl``, ``dropped.jsonl`` and ``report.json`` into the folder ``out``. Every
    reply is kept there, so the same call goes on where a killed one stopped and asks nothing twice.
    With ``dry_run`` nothing is asked or written: the report counts the calls to make and their
    price.

    Raises:
        UserError: the specification is invalid, a source, model or judge cannot be used, calls
            failed, the budget is spent, or no row is left.
    """
    from mixmerge.errors import ResourceError
    from mixmerge.study.packages import missing_packages
    from mixmerge.synthesis.engine import generate, plan
    from mixmerge.synthesis.spec import GenerateDataSpec
    from mixmerge.testbed.judge import RuleJudge

    read, judges = _read(spec, GenerateDataSpec), {"testbed": RuleJudge()}
    if dry_run:
        return plan(read, Path(out), rule_judges=judges)
    for place, what in missing_packages(read):
        raise ResourceError(f"{'.'.join(map(str, place))}: {what}")
    return generate(read, Path(out), rule_judges=judges, progress=progress)


def _read(spec: Path | str | Spec, kind: type[Spec]) -> Spec:
    return read_spec(Path(spec), kind) if isinstance(spec, (Path, str)) else spec
