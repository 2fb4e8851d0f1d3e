"""The figure of the benchmark: memory and time against the size of the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import Row, Summary, summaries

METHODS = ("linear", "ties")
"""The methods that are drawn: the cheapest, and one that reads everything twice."""
FLOOR = "floor with fsync"
"""What mixmerge is held against: its result is flushed, too."""
_COLOURS = {"mergekit": "tab:red", "mixmerge": "tab:blue", FLOOR: "tab:gray"}
_LINES = {"linear": "-", "ties": "--"}


def draw(rows: Sequence[Row], file: Path) -> bool:
    """Draw peak memory and median time of every size; same rows, same bytes.

    Args:
        rows: timed runs; sizes that are no number (``embedding``) are left out.
        file: an SVG file to write.

    Returns:
        Whether there were two sizes or more; otherwise nothing is drawn.
    """
    found = [
        summary
        for summary in summaries(rows)
        if summary.method in METHODS and summary.size.replace(".", "").isdigit()
    ]
    if len({summary.size for summary in found}) < 2:
        return False
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "mixmerge"
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FormatStrFormatter, NullLocator

    figure, (memory, time) = plt.subplots(1, 2, figsize=(10.5, 3.6), layout="constrained")
    for method in METHODS:
        group = sorted(
            (summary for summary in found if summary.method == method),
            key=lambda summary: summary.rows[0].model_bytes,
        )
        for program in ("mergekit", "mixmerge"):
            _line(memory, group, program, method, [_peak(summary, program) for summary in group])
        for program in ("mergekit", "mixmerge", FLOOR):
            _line(time, group, program, method, [summary.seconds(program) for summary in group])
    memory.set(title="Anonymous memory, peak", ylabel="GB")
    time.set(title="Time, median", ylabel="seconds")
    sizes = sorted({summary.rows[0].model_bytes / 1e9 for summary in found})
    for axes in (memory, time):
        axes.set(xlabel="size of one model, GB", xscale="log", yscale="log")
        axes.set_xticks(sizes, [f"{size:.1f}" for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.grid(visible=True, which="major", alpha=0.3)
    time.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
    return True


def _line(
    axes: Any, group: Sequence[Summary], program: str, method: str, values: Sequence[float | None]
) -> None:
    points = [
        (summary.rows[0].model_bytes / 1e9, value)
        for summary, value in zip(group, values, strict=True)
        if value is not None
    ]
    if points:
        axes.plot(
            *zip(*points, strict=True),
            _LINES[method],
            color=_COLOURS[program],
            marker="o",
            label=f"{program}, {method}",
        )


def _peak(summary: Summary, program: str) -> float | None:
    memory = summary.memory(program)
    return memory[1] / 1e9 if memory else None
