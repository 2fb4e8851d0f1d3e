"""The model card (``README.md``) of a trained model."""

from pathlib import Path

import yaml

from mixmerge.training.report import TrainReport
from mixmerge.training.spec import TrainSpec


def model_card(spec: TrainSpec, report: TrainReport, parent: Path | str) -> str:
    """Write a model card: what was trained from what, with which settings, rows and versions."""
    settings = spec.model_dump(mode="json", exclude_none=True)
    lines = [
        "---",
        "library_name: transformers",
        f"tags: [mixmerge, {spec.method}]",
        # Quoted where YAML reads something else: `no` is Norwegian, not false.
        f"language: {yaml.safe_dump([*report.rows], default_flow_style=True, width=10**6).strip()}",
        "---",
        f"# {spec.objective.label} of {parent_name(parent)}",
        "",
        (
            f"Trained by mixmerge: {report.steps} steps of {report.batch_size} rows, "
            f"{report.tokens} tokens read, {report.target_tokens} of them with a loss."
        ),
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in settings.items()),
        f"| arithmetic | {report.precision} |",
        f"| processes | {report.ranks} |",
        "",
        "| language | rows used | rows left out |",
        "|---|---|---|",
        *(f"| {code} | {n.used} | {n.dropped} |" for code, n in report.rows.items()),
        "",
        *(f"{note}\n" for note in report.notes),
        "Versions: " + ", ".join(f"{name} {number}" for name, number in report.versions.items()),
        "",
        f"Identity of the training: `{report.identity}`",
        "",
    ]
    return "\n".join(lines)


def parent_name(model: Path | str) -> str:
    """Return a name without the folders of this machine: ``org/name`` or a folder's own name."""
    path = Path(model)
    if isinstance(model, str) and model.count("/") == 1 and not path.exists():
        return model
    path = path.expanduser().absolute()
    return path.parent.name if path.name == "model" else path.name
