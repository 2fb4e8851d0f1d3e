"""A Hugging Face model card with the results as ``model-index``, for one model."""

from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.exporting.data import Exported
from mixmerge.files import write_text
from mixmerge.records.results import AxisInfo, AxisScore


def write(data: Exported, out: Path) -> list[Path]:
    """Write ``README.md``: the results as metadata that the hub reads, and as a table.

    Raises:
        SpecError: there is more than one model to write.
    """
    from huggingface_hub import EvalResult, ModelCardData

    if len(data.models) != 1:
        raise SpecError(
            f"--to model_card: a card is for one model; add `--model`, one of "
            f"{', '.join(data.models)}."
        )
    (name,) = data.models
    model, axes = data.results.models[name], data.results.axes
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_name=axis,
            dataset_type=axis,
            metric_type=info.measure,
            metric_name=info.title,
            metric_value=model.axes[axis].value,
            metric_args={"n": model.axes[axis].n, "better": info.better}
            | ({"ci": [*found]} if (found := model.axes[axis].ci) else {}),
        )
        for axis, info in axes.items()
    ]
    on_hub = data.base and not Path(data.base).exists() and data.base.count("/") == 1
    card = ModelCardData(
        model_name=name,
        base_model=data.base if on_hub else None,
        tags=["mixmerge"] + ["merge"] * (model.kind == "merge"),
        eval_results=results,
    )
    rows = [_row(axis, info, model.axes[axis]) for axis, info in axes.items()]
    table = ["| axis | measure | value | 95 % interval | prompts |", "|---|---|---|---|---|", *rows]
    what = f"{name}: {model.kind}" + (f" ({model.method})" if model.method else "")
    text = f"---\n{card.to_yaml()}\n---\n\n# {what}\n\n" + "\n".join(table) + "\n"
    write_text(out / "README.md", text)
    return [out / "README.md"]


def _row(axis: str, info: AxisInfo, found: AxisScore) -> str:
    better = "" if info.better == "higher" else " (lower is better)"
    interval = f"{found.ci[0]:.4g} to {found.ci[1]:.4g}" if found.ci else ""
    return f"| {axis} | {info.title}{better} | {found.value:.4g} | {interval} | {found.n} |"
