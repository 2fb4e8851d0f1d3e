"""The judges' trial in tables and notices."""

from collections.abc import Callable
from typing import Protocol

from mixmerge.records.judge_card import (
    Accuracy,
    AxisTrial,
    CheckedContrast,
    CorrectedRate,
    JudgeCard,
    ProbeName,
)
from mixmerge.records.results import Interval
from mixmerge.records.verdict import Axis
from mixmerge.reporting import formats
from mixmerge.reporting.cells import (
    ABSENT,
    Cell,
    Column,
    Table,
    gain,
    number,
    rate,
    without_empty_columns,
    word,
)

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


class Estimated(Protocol):
    """A number of the card with its interval."""

    @property
    def value(self) -> float: ...
    @property
    def ci(self) -> Interval | None: ...


def judge_tables(card: JudgeCard | None) -> list[Table]:
    """Return the tables of a judge card; none where there was no trial."""
    if card is None:
        return []
    return [
        trials(card),
        agreement(card),
        probes(card),
        parts(card, "language", lambda trial: trial.by_language),
        parts(card, "category", lambda trial: trial.by_category),
        corrected(card),
        checked(card),
    ]


def share(found: Estimated | None) -> Cell:
    """Return a share with its interval."""
    return ABSENT if found is None else rate(found.value, found.ci)


def coefficient(found: Estimated | None) -> Cell:
    """Return a coefficient, which is no share, with two decimals."""
    if found is None:
        return ABSENT
    ends = " to ".join(map(formats.decimal, found.ci or ()))
    return Cell(formats.decimal(found.value), found.value, found.ci, ends)


def trials(card: JudgeCard) -> Table:
    """Each judge against the labels."""
    columns = (
        Column("axis", "Axis", numeric=False),
        Column("judge", "Judge", numeric=False),
        Column("grade", "Grade", numeric=False),
        Column("sensitivity", "Sensitivity", with_ci=True),
        Column("specificity", "Specificity", with_ci=True),
        Column("youden", "J", with_ci=True),
        Column("missing", "No verdict"),
        Column("n", "Labelled"),
        Column("truth", "Labels by", numeric=False),
    )
    rows = tuple(
        (
            word(axis),
            word(trial.judge),
            word(trial.grade, emphasis=trial.grade == "useless"),
            share(trial.accuracy.sensitivity),
            share(trial.accuracy.specificity),
            coefficient(trial.youden),
            number(trial.accuracy.missing),
            number(trial.accuracy.n),
            word(trial.truth),
        )
        for axis, trial in card.axes.items()
    )
    caption = (
        "Verdicts against labels. Sensitivity: labels “yes” that the judge finds, for "
        "comparisons wins; specificity: “no”, for comparisons losses. J: sensitivity + "
        "specificity − 1, 0 for a coin (for comparisons: how much likelier “win” is said of wins "
        "than of losses). Beneath each number is its 95 % interval, where the labels allow one."
    )
    marks = tuple(trial.grade for trial in card.axes.values())
    return Table("judges", "The judges against the labels", caption, columns, rows, marks)


def agreement(card: JudgeCard) -> Table:
    """How far each judge agrees: with the labels, with itself, and with its fellows."""
    columns = (
        Column("axis", "Axis", numeric=False),
        Column("agreement", "Agreement", with_ci=True),
        Column("prevalence", "Prevalence"),
        Column("kappa", "Kappa", with_ci=True),
        Column("alpha", "Alpha", with_ci=True),
        Column("alpha_of_panel", "Panel’s alpha", with_ci=True),
        Column("alpha_of_labels", "Labellers’ alpha", with_ci=True),
        Column("swap_consistency", "Same when swapped", with_ci=True),
        Column("first_place", "First wins", with_ci=True),
        Column("length_slope", "Length, points", with_ci=True),
    )
    rows = tuple(_agreement_row(axis, trial) for axis, trial in card.axes.items())
    caption = (
        "Agreement: verdicts that equal the label. Kappa depends on the prevalence of “yes” or "
        "wins; alpha is Krippendorff’s. First wins: 50 % for a judge without a taste for a place. "
        "Length: by how much verdicts exceed labels for one standard deviation of length."
    )
    table = Table("judge-agreement", "Agreement, order and length", caption, columns, rows)
    return without_empty_columns(table)


def _agreement_row(axis: Axis, trial: AxisTrial) -> tuple[Cell, ...]:
    prevalence, swap, slope = trial.accuracy.prevalence, trial.swap, trial.length_slope
    return (
        word(axis),
        share(trial.accuracy.agreement),
        ABSENT if prevalence is None else rate(prevalence),
        coefficient(trial.kappa),
        coefficient(trial.alpha),
        coefficient(trial.alpha_of_panel),
        coefficient(trial.alpha_of_labels),
        share(swap.consistent) if swap else ABSENT,
        share(swap.first_place) if swap else ABSENT,
        gain(slope.value, slope.ci) if slope else ABSENT,
    )


def probes(card: JudgeCard) -> Table:
    """How often each probe fooled each judge."""
    columns = (
        Column("axis", "Axis", numeric=False),
        Column("probe", "Probe", numeric=False),
        Column("fooled", "Fooled", with_ci=True),
        Column("n", "Asked"),
        Column("missing", "No verdict"),
        Column("asks", "What was changed, and what is right", numeric=False),
    )
    rows = tuple(
        (
            word(axis),
            word(PROBES[probe.name]),
            share(probe.fooled),
            number(probe.n),
            number(probe.missing),
            word(probe.asks),
        )
        for axis, trial in card.axes.items()
        for probe in trial.probes
    )
    caption = (
        "Answers changed so that the right verdict is known. Where nothing was asked, no answer "
        "suited the probe: most take only answers on which the judge was right before."
    )
    return Table("judge-probes", "Probes", caption, columns, rows)


def parts(card: JudgeCard, name: str, of: Callable[[AxisTrial], dict[str, Accuracy]]) -> Table:
    """The judges on each part of the answers, such as each language."""
    columns = (
        Column("axis", "Axis", numeric=False),
        Column(name, name.capitalize(), numeric=False),
        Column("sensitivity", "Sensitivity", with_ci=True),
        Column("specificity", "Specificity", with_ci=True),
        Column("agreement", "Agreement", with_ci=True),
        Column("prevalence", "Prevalence"),
        Column("missing", "No verdict"),
        Column("n", "Labelled"),
    )
    rows = tuple(
        (
            word(axis),
            word(part),
            share(found.sensitivity),
            share(found.specificity),
            share(found.agreement),
            ABSENT if found.prevalence is None else rate(found.prevalence),
            number(found.missing),
            number(found.n),
        )
        for axis, trial in card.axes.items()
        for part, found in of(trial).items()
    )
    caption = "As above. A small part has no interval, and its numbers say little."
    return Table(f"judge-by-{name}", f"The judges by {name}", caption, columns, rows)


def corrected(card: JudgeCard) -> Table:
    """Every model's values as judged, and corrected for the judge's errors."""
    axes = list(dict.fromkeys(found.axis for found in card.corrected))
    columns = [Column("model", "Model", numeric=False)]
    for axis in axes:
        columns += [
            Column(f"{axis}_judged", f"{axis}, judged"),
            Column(f"{axis}_ppi", "PPI++", with_ci=True),
            Column(f"{axis}_rogan_gladen", "Rogan–Gladen", with_ci=True),
        ]
    by_model: dict[str, dict[Axis, CorrectedRate]] = {}
    for found in card.corrected:
        by_model.setdefault(found.model, {})[found.axis] = found
    rows = tuple(
        (word(model), *(cell for axis in axes for cell in _corrected_cells(own.get(axis))))
        for model, own in by_model.items()
    )
    notes = sorted({found.note for found in card.corrected if found.note})
    caption = (
        "The judge’s own value, and what labels of a random part of the answers make of it. PPI++ "
        "(by source question, stratified by language) holds whatever the judge does; Rogan–Gladen "
        "trusts that it errs alike on all models. " + " ".join(f"{note}." for note in notes)
    )
    title = "Values corrected for the judges’ errors"
    table = Table("judge-corrected", title, caption.strip(), tuple(columns), rows)
    return without_empty_columns(table)


def _corrected_cells(found: CorrectedRate | None) -> tuple[Cell, Cell, Cell]:
    if found is None:
        return ABSENT, ABSENT, ABSENT
    judged = ABSENT if found.raw is None else rate(found.raw)
    return judged, share(found.ppi), share(found.rogan_gladen)


def checked(card: JudgeCard) -> Table:
    """Every comparison of two models, and whether it stands."""
    columns = (
        Column("a", "Model", numeric=False),
        Column("b", "Against", numeric=False),
        Column("axis", "Axis", numeric=False),
        Column("judged", "Judged, points", with_ci=True),
        Column("corrected", "Corrected, points", with_ci=True),
        Column("verdict", "This conclusion", numeric=False),
    )
    rows = tuple(_check_row(found) for found in card.contrasts)
    caption = (
        "Differences of the values on one axis. A conclusion holds when the interval of the "
        "corrected difference (PPI++) is on the same side of zero as the judged one. Nothing to "
        "flip: the judged interval holds zero already."
    )
    marks = tuple(found.verdict for found in card.contrasts)
    return Table("judge-checks", "Do the conclusions stand?", caption, columns, rows, marks)


def _check_row(found: CheckedContrast) -> tuple[Cell, ...]:
    fixed = found.corrected
    return (
        word(found.a),
        word(found.b),
        word(found.axis),
        gain(found.raw, found.raw_ci),
        gain(fixed.value, fixed.ci) if fixed else ABSENT,
        word(_CHECKS[found.verdict], emphasis=found.verdict in {"unsure", "reversed"}),
    )


def judge_notices(card: JudgeCard | None) -> list[str]:
    """Return what stands above everything else: useless judges and conclusions that may flip."""
    if card is None:
        return []
    useless = [
        f"{axis}: the judge {trial.judge} is useless. {trial.warnings[0]}"
        for axis, trial in card.axes.items()
        if trial.grade == "useless"
    ]
    flips = [found.note for found in card.contrasts if found.verdict in {"unsure", "reversed"}]
    return [*useless, *flips]
