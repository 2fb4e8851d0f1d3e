"""The comparison on a terminal: a table for each task, within 80 columns, and sentences."""

from collections import Counter
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from mixmerge.comparison.result import Comparisons, Pair, TaskInfo
from mixmerge.reporting import formats

_STYLES = {"better": "green", "worse": "red", "undecided": "yellow"}


def tables(found: Comparisons) -> Iterator[Table]:
    """Yield a table for each task."""
    clustered = any(pair.n < pair.items for pair in found.contrasts)
    for task, info in found.tasks.items():
        percent = " in %" * (info.unit == "percent")
        title = f"{task}: {info.title}{percent}, {formats.better(info)}"
        title += "; items (clusters)" * clustered
        seeds = max((len(pair.by_seed) for pair in found.contrasts if pair.axis == task), default=0)
        title += f"; {seeds} training seeds" * (seeds > 0)
        looks = [pair.fraction for pair in found.contrasts if pair.axis == task and pair.fraction]
        title += f"; {formats.percent(max(looks), 0)} of the planned items" if looks else ""
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD,
                      padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
        table.add_column("Model", overflow="fold", min_width=6)
        table.add_column("Mean", justify="right", no_wrap=True)
        table.add_column(Text(found.baseline), justify="right", overflow="fold", min_width=5)
        for heading in ("Diff.", "95% interval", "p", "adj. p", "Items"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("Verdict", no_wrap=True)
        for pair in found.contrasts:
            if pair.axis == task:
                table.add_row(
                    Text(pair.a),
                    *(_mean(info, value) for value in (pair.value_a, pair.value_b)),
                    formats.difference(info, pair.difference),
                    _interval(info, pair),
                    *map(_p, (pair.p, pair.p_adjusted)),
                    formats.count(pair.items) + f"\n({formats.count(pair.n)})" * clustered,
                    Text(_verdict(pair), style=_STYLES[pair.verdict]),
                )
        yield table


def _verdict(pair: Pair) -> str:
    if pair.fraction and pair.verdict == "undecided":
        return "go on" if pair.fraction < 1 else "undecided"
    if pair.needed_seeds:
        return f"needs {pair.needed_seeds} seeds"
    return f"needs {formats.count(pair.needed)}" if pair.needed else pair.verdict


def _mean(info: TaskInfo, value: float) -> str:
    return formats.bare_percent(value) if info.unit == "percent" else formats.value(info, value)


def _interval(info: TaskInfo, pair: Pair) -> Text:
    ends = ", ".join(formats.difference(info, end) for end in pair.ci or ())
    return Text(f"[{ends}]" if ends else "too few")


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def summary(found: Comparisons) -> list[str]:
    """Return a sentence for each of a few comparisons, of many the numbers of verdicts."""
    if len(found.contrasts) <= 4:
        return [_sentence(found, pair) + _by_seed(found, pair) for pair in found.contrasts]
    counts: Counter[str] = Counter(pair.verdict for pair in found.contrasts)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _STYLES if counts[verdict])
    return [f"{len(found.contrasts)} comparisons with {found.baseline}: {told}."]


def _by_seed(found: Comparisons, pair: Pair) -> str:
    """Show every seed: an interval of few takes their luck as normal and may hide a collapse."""
    each = (formats.difference(found.tasks[pair.axis], one) for one in pair.by_seed)
    return f" By seed: {', '.join(each)}." if pair.by_seed else ""


def _sentence(found: Comparisons, pair: Pair) -> str:
    info = found.tasks[pair.axis]
    by = formats.difference_in_words(info, pair.difference)
    if pair.verdict != "undecided":
        return f"{pair.a} is {pair.verdict} than {pair.b} on {pair.axis}: {by}."
    if not pair.difference:
        return f"{pair.axis}: {pair.a} and {pair.b} have the same mean."
    still_open = f"{pair.axis}: it is open whether {pair.a} or {pair.b} is better ({by})"
    if pair.fraction and pair.fraction < 1:
        return f"{still_open}; go on with the items."
    wanted = [f"{pair.needed_seeds} seeds"] * (pair.needed_seeds is not None)
    wanted += [f"{formats.count(pair.needed or 0)} items"] * (pair.needed is not None)
    if not wanted:  # even 100 seeds, or ten million items
        return f"{still_open}."
    takes = " or ".join(wanted)
    return f"{still_open}; to show such a difference in 4 of 5 cases takes about {takes}."
