"""Length of training: the sentences and tables of trainings and merges by steps."""

from mixmerge.records import Axis
from mixmerge.records.results import Results, Stage
from mixmerge.records.sweeps import LengthComparison, LengthCurve, LengthDecision
from mixmerge.reporting import cells, formats
from mixmerge.reporting.cells import Cell, Spec, Table

_OUTCOMES: dict[LengthDecision, str] = {
    "differs": "their best lengths differ",
    "equivalent": "the difference is within the margin",
    "undecided": "no difference is shown",
    "same": "both are best after as many steps",
}


def length_sentences(results: Results) -> list[str]:
    """Say how long the experts of each merge should train, and whether that depends on the method.

    None where nothing was chosen among lengths.
    """
    chosen = [curve for curve in curves_of(results) if curve.best is not None]
    if not chosen:
        return []
    best = ", ".join(f"{curve.model} {formats.count(curve.best or 0)}" for curve in chosen)
    told = [f"Best length of training on the prompts of `selection`, in steps: {best}."]
    pairs = results.lengths.comparisons if results.lengths else ()
    if pairs:
        found = {pair.decision for pair in pairs}
        said = "Whether the best length depends on the method is not decidable."
        if "differs" in found:
            said = "The best length depends on the method."
        elif found == {"same"}:
            said = "The best length is the same for each method."
        elif "undecided" not in found:
            said = "Which of the best lengths is taken makes no difference that matters."
        told.append(said)
    return told + [_pair(pair) for pair in pairs if pair.decision != "same"]


def _pair(pair: LengthComparison) -> str:
    if pair.steps != tuple(sorted(pair.best)):
        return f"{pair.a} and {pair.b} have not both been merged after both of their best lengths."
    gain = f"{formats.points(pair.gain)} points ({formats.ends(pair.ci, formats.points)})"
    return (
        f"{pair.a} and {pair.b}, {_steps(pair.steps)}: {_OUTCOMES[pair.decision]}. By their own "
        f"best length instead of the other's, both together gain {gain} of the axes' weighted mean "
        "on the prompts of `evaluate`."
    )


def _steps(steps: tuple[int, int]) -> str:
    return f"{formats.count(steps[0])} or {formats.count(steps[1])} steps"


def curves_of(results: Results, stage: Stage | None = None) -> list[LengthCurve]:
    """Return the curves, of one stage if it is given."""
    found = results.lengths.curves if results.lengths else ()
    return [c for c in found if stage is None or results.models[c.model].stage == stage]


def length_tables(results: Results) -> list[Table]:
    """Return the values by steps, and the comparisons of merges over steps."""
    curves = curves_of(results)
    rows = [(curve, step) for curve in curves for step in sorted(curve.points)]
    pairs = list(results.lengths.comparisons) if results.lengths else []
    known = dict.fromkeys(axis for curve, step in rows for axis in curve.points[step])
    columns: list[Spec[tuple[LengthCurve, int]]] = [
        cells.words("model", "Model", lambda row: row[0].model),
        cells.counts("steps", "Steps", lambda row: row[1]),
        cells.words("chosen", "Chosen", lambda row: "yes" if row[0].best == row[1] else ""),
        *(_values(results, axis) for axis in known),
    ]
    compared: list[Spec[LengthComparison]] = [
        cells.words("a", "a", lambda pair: f"{pair.a}: {pair.best[0]}"),
        cells.words("b", "b", lambda pair: f"{pair.b}: {pair.best[1]}"),
        cells.words("steps", "From, to", lambda pair: f"{pair.steps[0]}, {pair.steps[1]}"),
        cells.words("decision", "Best length", lambda pair: pair.decision),
        cells.estimates(
            "gain", "Gain by the own length, points", lambda pair: cells.gain(pair.gain, pair.ci)
        ),
    ]
    for axis in known:
        compared += _contrasts(results, axis)
    caption = (
        "Does more training change one merge otherwise than another? On each axis, the change "
        "of a between the two steps minus that of b, with 95 % intervals; p is adjusted by "
        "Holm's method over all pairs and axes. The gain weighs the axes as the choice does; its "
        "interval is adjusted for the pairs and decides."
    )
    return [
        cells.tabulate("lengths", "Values by length of training",
                       "Each training, and each merge of its experts, after so many steps.",
                       rows, columns),
        cells.tabulate("length_contrasts", "Do merges want different lengths?",
                       caption, pairs, compared),
    ]  # fmt: skip


def _values(results: Results, axis: Axis) -> Spec[tuple[LengthCurve, int]]:
    def value(row: tuple[LengthCurve, int]) -> Cell:
        own = row[0].points[row[1]][axis]
        return cells.of_axis(results.axes[axis], own.value, own.ci)

    return cells.estimates(axis, formats.heading(results, axis), value)


def _contrasts(results: Results, axis: Axis) -> list[Spec[LengthComparison]]:
    info = results.axes[axis]

    def difference(pair: LengthComparison) -> Cell:
        return cells.difference(info, pair.axes[axis].difference, pair.axes[axis].ci)

    def adjusted(pair: LengthComparison) -> Cell:
        return cells.adjusted_p(pair.axes[axis].p_adjusted)

    title = f"{formats.heading(results, axis)}{formats.unit_of_differences(info)}"
    return [
        cells.estimates(f"{axis}_difference", title, difference),
        cells.numbers(f"{axis}_p_adjusted", "p (Holm)", adjusted),
    ]
