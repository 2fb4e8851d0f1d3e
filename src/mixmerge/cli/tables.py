"""Tables on the terminal for `plan` and `inspect`."""

from rich.table import Table
from rich.text import Text

from mixmerge.cli.screen import duration
from mixmerge.merge.inspect import Inspection
from mixmerge.study.explain import Explained

_STYLES = {"done": "green", "to do": "", "changed": "yellow"}


def plan_table(plan: Explained) -> Table:
    """Return one line per step: its state, what it builds on, its cost."""
    table = Table(title=Text(f"{plan.study}: {len(plan.rows)} steps"), title_justify="left")
    for heading in ("Step", "State", "Builds on", "What it takes"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        state = f"changed: {row.reason}" if row.reason else row.state
        table.add_row(
            row.step, Text(state, style=_STYLES[row.state]), Text(row.builds_on), Text(row.cost)
        )
    return table


def cost_lines(plan: Explained) -> list[str]:
    """Return the totals, one sentence each."""
    todo = sum(row.state != "done" for row in plan.rows)
    lines = [f"{len(plan.rows) - todo} steps are done, {todo} would run in {plan.root}."]
    if plan.training_rows:
        lines.append(f"Training: {plan.training_rows:,} rows over all epochs.")
    if plan.disk_bytes is not None:
        lines.append(f"Disk: about {plan.disk_bytes / 1e9:.1f} GB of model weights.")
    else:
        lines.append("Disk: unknown until the base model is here; one copy of it per checkpoint.")
    if plan.judge_models:
        calls = (
            "unknown until the prompts are here"
            if plan.judge_calls is None
            else f"{plan.judge_calls:,}"
        )
        lines.append(f"Judge calls ({', '.join(plan.judge_models)}): {calls}.")
    if plan.seconds is not None and todo:
        lines.append(f"Time: about {duration(plan.seconds)} of one core, from steps done before.")
    return lines


def inspection_table(inspection: Inspection) -> Table:
    """Return one column per model."""
    table = Table()
    table.add_column("")
    for model in inspection.models:
        table.add_column(model.name, justify="right", overflow="fold")
    rows = {
        "architecture": [model.architecture for model in inspection.models],
        "parameters": [f"{model.parameters:,}" for model in inspection.models],
        "size": [f"{model.nbytes / 1e6:,.1f} MB" for model in inspection.models],
        "tensors": [f"{model.tensors:,}" for model in inspection.models],
        "types": [
            ", ".join(f"{name} {count}" for name, count in model.dtypes.items())
            for model in inspection.models
        ],
        "layers": [str(model.layers) for model in inspection.models],
        "vocabulary": [f"{model.vocabulary:,}" for model in inspection.models],
        "tied head": ["yes" if model.tied else "no" for model in inspection.models],
    }
    for label, values in rows.items():
        table.add_row(label, *(Text(value) for value in values))
    return table
