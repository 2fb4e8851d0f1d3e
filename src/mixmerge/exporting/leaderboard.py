"""A table of all models, one row each, with value, interval and number of prompts by axis."""

import csv
import io
from pathlib import Path

from mixmerge.exporting.data import Exported
from mixmerge.files import write_text


def write(data: Exported, out: Path) -> list[Path]:
    """Write ``leaderboard.csv``; values are in the units of each axis's measure."""
    axes = data.results.axes
    head = ["model", "kind", "stage", "method"]
    for axis in axes:
        head += [axis, f"{axis}_low", f"{axis}_high", f"{axis}_n"]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    for name in data.models:
        model = data.results.models[name]
        row: list[object] = [name, model.kind, model.stage or "", model.method or ""]
        for axis in axes:
            found = model.axes[axis]
            row += [found.value, *(found.ci or ("", "")), found.n]
        table.writerow(row)
    file = out / "leaderboard.csv"
    write_text(file, text.getvalue())
    return [file]
