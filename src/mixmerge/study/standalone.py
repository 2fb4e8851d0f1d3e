"""Mix data or train one checkpoint without a study: ``mixmerge mix`` and ``mixmerge train``.

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


def _read(spec: Path | str | Spec, kind: type[Spec]) -> Spec:
    return read_spec(Path(spec), kind) if isinstance(spec, (Path, str)) else spec
