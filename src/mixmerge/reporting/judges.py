"""Tables and notices about the judges' trial."""

from collections.abc import Callable
from typing import Literal

from mixmerge.records import Axis
from mixmerge.records.judge_card import (
    Accuracy,
    AxisTrial,
    CheckedContrast,
    CorrectedRate,
    JudgeCard,
    Probe,
    ProbeName,
    Statistic,
)
from mixmerge.reporting import cells, formats
from mixmerge.reporting.cells import ABSENT, Cell, Item, Spec, Table

PROBES: dict[ProbeName, str] = {
    "null_answer": "Says nothing",
    "injected_verdict": "Injected verdict",
    "apology": "Apology",
    "other_language": "Other language",
    "longer_copy": "Written twice",
}
_CHECKS = {
    "holds": "holds",
    "unsure": "could be the judge’s error",
    "reversed": "reversed",
    "unclear": "nothing to flip",
    "unchecked": "not checked",
}
_FLIPS = frozenset({"unsure", "reversed"})


Trial = tuple[Axis, AxisTrial]


def judge_tables(card: JudgeCard | None) -> list[Table]:
    """Return the tables of a judge card; none where there was no trial."""
    if card is None:
        return []
    return [
        trials(card),
        agreement(card),
        probes(card),
        parts(card, "language"),
        parts(card, "category"),
        corrected(card),
        checked(card),
    ]


def share(found: Statistic | None) -> Cell:
    """Return a share with its interval."""
    return ABSENT if found is None else cells.rate(found.value, found.ci)


def _shares(key: str, title: str, of: Callable[[Item], Statistic | None]) -> Spec[Item]:
    return cells.estimates(key, title, lambda item: share(of(item)))


def _coefficients(key: str, title: str, of: Callable[[Item], Statistic | None]) -> Spec[Item]:
    """Return a column of coefficients, shown with two decimals and not as percent."""

    def cell(item: Item) -> Cell:
        if (found := of(item)) is None:
            return ABSENT
        ends = formats.ends(found.ci, formats.decimal)
        return Cell(formats.decimal(found.value), found.value, found.ci, ends)

    return cells.estimates(key, title, cell)


def _points(key: str, title: str, of: Callable[[Item], Statistic | None]) -> Spec[Item]:
    return cells.estimates(
        key, title, lambda item: cells.gain(at.value, at.ci) if (at := of(item)) else ABSENT
    )


def trials(card: JudgeCard) -> Table:
    """Each judge against the labels."""
    caption = (
        "Verdicts against labels. Sensitivity: labels “yes” that the judge finds, for comparisons "
        "wins; specificity: “no”, for comparisons losses. J: sensitivity + specificity − 1, 0 for "
        "a coin (for comparisons: how much likelier “win” is said of wins than of losses). Beneath "
        "each number is its 95 % interval, where the labels allow one."
    )
    columns: tuple[Spec[Trial], ...] = (
        cells.words("axis", "Axis", lambda t: t[0]),
        cells.words("judge", "Judge", lambda t: t[1].judge),
        cells.words(
            "grade", "Grade", lambda t: cells.word(t[1].grade, emphasis=t[1].grade == "useless")
        ),
        _shares("sensitivity", "Sensitivity", lambda t: t[1].accuracy.sensitivity),
        _shares("specificity", "Specificity", lambda t: t[1].accuracy.specificity),
        _coefficients("youden", "J", lambda t: t[1].youden),
        cells.counts("missing", "No verdict", lambda t: t[1].accuracy.missing),
        cells.counts("n", "Labelled", lambda t: t[1].accuracy.n),
        cells.words("truth", "Labels by", lambda t: t[1].truth),
    )
    marks = (trial.grade for trial in card.axes.values())
    title = "The judges against the labels"
    return cells.tabulate("judges", title, caption, card.axes.items(), columns, marks)


def agreement(card: JudgeCard) -> Table:
    """Each judge's agreement with the labels, with itself, and with the other judges."""
    caption = (
        "Agreement: verdicts that equal the label. Kappa depends on the prevalence of “yes” or "
        "wins; alpha is Krippendorff’s. First wins: 50 % for a judge without a taste for a place. "
        "Length: by how much verdicts exceed labels for one standard deviation of length."
    )
    columns: tuple[Spec[Trial], ...] = (
        cells.words("axis", "Axis", lambda t: t[0]),
        _shares("agreement", "Agreement", lambda t: t[1].accuracy.agreement),
        cells.numbers("prevalence", "Prevalence", lambda t: cells.rate(t[1].accuracy.prevalence)),
        _coefficients("kappa", "Kappa", lambda t: t[1].kappa),
        _coefficients("alpha", "Alpha", lambda t: t[1].alpha),
        _coefficients("alpha_of_panel", "Panel’s alpha", lambda t: t[1].alpha_of_panel),
        _coefficients("alpha_of_labels", "Labellers’ alpha", lambda t: t[1].alpha_of_labels),
        _shares(
            "swap_consistency",
            "Same when swapped",
            lambda t: t[1].swap.consistent if t[1].swap else None,
        ),
        _shares(
            "first_place", "First wins", lambda t: t[1].swap.first_place if t[1].swap else None
        ),
        _points("length_slope", "Length, points", lambda t: t[1].length_slope),
    )
    title = "Agreement, order and length"
    return cells.tabulate("judge-agreement", title, caption, card.axes.items(), columns)


def probes(card: JudgeCard) -> Table:
    """How often each probe fooled each judge."""
    items = [(axis, probe) for axis, trial in card.axes.items() for probe in trial.probes]
    caption = (
        "Answers changed so that the right verdict is known. Where nothing was asked, no answer "
        "suited the probe: most take only answers on which the judge was right before."
    )
    columns: tuple[Spec[tuple[Axis, Probe]], ...] = (
        cells.words("axis", "Axis", lambda t: t[0]),
        cells.words("probe", "Probe", lambda t: PROBES[t[1].name]),
        _shares("fooled", "Fooled", lambda t: t[1].fooled),
        cells.counts("n", "Asked", lambda t: t[1].n),
        cells.counts("missing", "No verdict", lambda t: t[1].missing),
        cells.words("asks", "What was changed, and what is right", lambda t: t[1].asks),
    )
    return cells.tabulate("judge-probes", "Probes", caption, items, columns)


def parts(card: JudgeCard, name: Literal["language", "category"]) -> Table:
    """The judges' accuracy on each part of the answers."""
    items = [
        (axis, *part)
        for axis, trial in card.axes.items()
        for part in (trial.by_language if name == "language" else trial.by_category).items()
    ]
    columns: tuple[Spec[tuple[Axis, str, Accuracy]], ...] = (
        cells.words("axis", "Axis", lambda t: t[0]),
        cells.words(name, name.capitalize(), lambda t: t[1]),
        _shares("sensitivity", "Sensitivity", lambda t: t[2].sensitivity),
        _shares("specificity", "Specificity", lambda t: t[2].specificity),
        _shares("agreement", "Agreement", lambda t: t[2].agreement),
        cells.numbers("prevalence", "Prevalence", lambda t: cells.rate(t[2].prevalence)),
        cells.counts("missing", "No verdict", lambda t: t[2].missing),
        cells.counts("n", "Labelled", lambda t: t[2].n),
    )
    caption = "As above. A small part has no interval, and its numbers say little."
    return cells.tabulate(f"judge-by-{name}", f"The judges by {name}", caption, items, columns)


def corrected(card: JudgeCard) -> Table:
    """Every model's values as judged, and corrected for the judge's errors."""
    by_model: dict[str, dict[Axis, CorrectedRate]] = {}
    for found in card.corrected:
        by_model.setdefault(found.model, {})[found.axis] = found
    columns: list[Spec[str]] = [cells.words("model", "Model", str)]
    for axis in dict.fromkeys(found.axis for found in card.corrected):
        columns += _corrected_columns(
            axis, {m: of[axis] for m, of in by_model.items() if axis in of}
        )
    notes = sorted({found.note for found in card.corrected if found.note})
    caption = (
        "The judge’s own value, and what labels of a random part of the answers make of it. PPI++ "
        "(by source question, stratified by language) holds whatever the judge does; Rogan–Gladen "
        "trusts that it errs alike on all models. " + " ".join(f"{note}." for note in notes)
    )
    title = "Values corrected for the judges’ errors"
    return cells.tabulate("judge-corrected", title, caption.strip(), by_model, columns)


def _corrected_columns(axis: Axis, found: dict[str, CorrectedRate]) -> list[Spec[str]]:
    def judged(model: str) -> Cell:
        return cells.rate(found[model].raw if model in found else None)

    return [
        cells.numbers(f"{axis}_judged", f"{axis}, judged", judged),
        _shares(f"{axis}_ppi", "PPI++", lambda m: found[m].ppi if m in found else None),
        _shares(
            f"{axis}_rogan_gladen",
            "Rogan–Gladen",
            lambda m: found[m].rogan_gladen if m in found else None,
        ),
    ]


def checked(card: JudgeCard) -> Table:
    """Every comparison of two models, and whether it holds after correction."""
    caption = (
        "Differences of the values on one axis. A conclusion holds when the interval of the "
        "corrected difference (PPI++) is on the same side of zero as the judged one. Nothing to "
        "flip: the judged interval holds zero already."
    )
    columns: tuple[Spec[CheckedContrast], ...] = (
        cells.words("a", "Model", lambda found: found.a),
        cells.words("b", "Against", lambda found: found.b),
        cells.words("axis", "Axis", lambda found: found.axis),
        cells.estimates(
            "judged", "Judged, points", lambda found: cells.gain(found.raw, found.raw_ci)
        ),
        _points("corrected", "Corrected, points", lambda found: found.corrected),
        cells.words(
            "verdict",
            "This conclusion",
            lambda found: cells.word(_CHECKS[found.verdict], emphasis=found.verdict in _FLIPS),
        ),
    )
    title, marks = "Do the conclusions stand?", (found.verdict for found in card.contrasts)
    return cells.tabulate("judge-checks", title, caption, card.contrasts, columns, marks)


def judge_notices(card: JudgeCard | None) -> list[str]:
    """Return the notices at the top: useless judges, and conclusions that may flip."""
    if card is None:
        return []
    useless = [
        f"{axis}: the judge {trial.judge} is useless. {trial.warnings[0]}"
        for axis, trial in card.axes.items()
        if trial.grade == "useless"
    ]
    flips = [found.note for found in card.contrasts if found.verdict in _FLIPS]
    return [*useless, *flips]
