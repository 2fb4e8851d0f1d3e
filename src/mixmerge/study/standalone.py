"""Parts without a study: ``mixmerge mix``, ``train``, ``inspect`` and ``generate-data``.

A specification is a YAML file, or the object that such a file is read into. Paths in it are
relative to the working directory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from mixmerge.errors import ResourceError, SpecError
from mixmerge.progress import Progress, silent
from mixmerge.study.spec_file import read_spec

if TYPE_CHECKING:
    from mixmerge.merging.inspection.result import Inspection
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


def inspect(
    models: Sequence[str | Path],
    *,
    base: str | Path | None = None,
    headers_only: bool = False,
    prompts: Path | None = None,
    limit: int = 100,
    figure: Path | None = None,
    allow_pickle: bool = False,
    threads: int | None = None,
    progress: Progress = silent,
) -> "Inspection":
    """Report what models contain, how they differ, and why they cannot be merged, if so.

    Weights are compared by `mixmerge.merging.inspection.inspect.inspect`, which explains the other
    arguments. With prompts, the models are run, too, and compared by what they are about to answer
    (see `mixmerge.evaluation.behaviour.measure_behaviour`).

    Args:
        models: one or more folders, hub names, or ``MODEL+ADAPTER``, as in a recipe.
        base: the model they were trained from, if any.
        headers_only: read headers, configurations and tokenizers, but no weights.
        prompts: a file of prompts, as for an axis of a study; needs no answers and no labels.
        limit: the most prompts to read, taken at equal distances from the whole file.
        figure: draw the comparison by layer into this file (.png, .svg or .pdf).
        allow_pickle: also read ``.bin`` and ``.pt`` weights (data only, no code).
        threads: number of threads for the weights; None: one per processor.
        progress: called with the bytes or prompts read.

    Raises:
        UserError: a model, the prompts or ``figure`` do not allow it.
    """
    from mixmerge.merging.inspection.inspect import inspect as run

    found = run(
        models,
        base=base,
        headers_only=headers_only,
        figure=figure,
        allow_pickle=allow_pickle,
        threads=threads,
        progress=progress,
    )
    if prompts is None:
        return found

    from mixmerge.evaluation.behaviour import measure_behaviour
    from mixmerge.evaluation.prompts import spread_prompts
    from mixmerge.merging.models.references import locate, parse

    if found.vocabularies:
        other = found.vocabularies[0].second
        raise SpecError(
            f"`--prompts` compares the probabilities of tokens, and {other} has other tokens than "
            f"{found.models[0].name}. Leave `--prompts` out, or leave that model out."
        )
    folders = {}
    for model in found.models:
        name, adapter = parse(model.reference)
        if adapter is not None:
            raise SpecError(
                f"`--prompts` runs whole models, and {model.reference} is one with an adapter. "
                "Merge the adapter into it first: `mixmerge merge` with this one model."
            )
        folders[model.name] = locate(name)
    asked = spread_prompts(Path(prompts), limit)
    measured = measure_behaviour(folders, asked, base=found.base, progress=progress)
    return found.model_copy(update={"behaviour": measured})


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
