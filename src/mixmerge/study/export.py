"""``mixmerge export``: write a finished run for other tools."""

from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.execution.store import RECORD
from mixmerge.exporting import TARGETS, writer
from mixmerge.exporting.data import Exported, Scored
from mixmerge.files import read_json
from mixmerge.records import Axis
from mixmerge.records.results import Results, read_results
from mixmerge.reporting.models import all_models
from mixmerge.spec_model import unknown_name
from mixmerge.study.run import recorded
from mixmerge.study.steps.outputs import Outputs
from mixmerge.study.steps.results import RESULTS


def export(run: Path | str, out: Path | str, *, to: str, model: str | None = None) -> list[Path]:
    """Write the results and answers of a finished run for another tool; return the files.

    Args:
        run: The run folder.
        out: The folder to write into; files of the same names are replaced.
        to: One of `mixmerge.exporting.TARGETS`.
        model: The only model to write; by default all.

    Raises:
        SpecError: the run is not finished, or there is no such target or model.
        ResourceError: the library that writes the target is not installed.
    """
    if to not in TARGETS:
        raise SpecError(f"--to: {unknown_name(to, 'the targets', TARGETS)}")
    prepared, folders, _ = recorded(run)
    study = prepared.study
    done = folders.get("results/study")
    if done is None:
        raise SpecError(f"{run}: there are no results yet; `mixmerge run` finishes the study.")
    results = read_results(read_json(done / RESULTS), str(done / RESULTS))
    models = all_models(results)
    if model is not None and model not in models:
        raise SpecError(f"--model: {unknown_name(model, 'the models', models)}")
    kept = Outputs(study, folders)
    data = Exported(
        results=results,
        models=[model] if model is not None else list(models),
        base=study.base.model or "",
        made=str(read_json(done / RECORD)["started"]),
        items=lambda name, axis: _items(kept, results, name, axis),
    )
    Path(out).mkdir(parents=True, exist_ok=True)
    return writer(to)(data, Path(out))


def _items(kept: Outputs, results: Results, name: str, axis: Axis) -> list[Scored]:
    """Return the items of an axis in the order of the base model's."""
    info, measure = results.axes[axis], kept.study.evaluate.axes[axis].measure
    answers, verdicts = kept.read_answers(name, axis), kept.read_verdicts(name, axis)
    items = []
    for prompt in kept.read_prompts(axis):
        rows = verdicts.get(prompt.id, [])
        share = kept.share(name, axis, rows)
        items.append(
            Scored(
                prompt,
                answers.get(prompt.id, ""),
                None if share is None else measure.of_share(share),
                "\n".join(dict.fromkeys(row.reason for row in rows if row.reason)),
                ", ".join(dict.fromkeys(row.judge for row in rows)) or info.title,
            )
        )
    return items
