"""Properties of merged models' changes, and their correlation with the gain from merging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, word
from mixmerge.reporting.formats import MINUS, signed
from paper.mantel import FEWEST, Association, mantel, symmetric
from paper.scores import Findings, Mechanism

OUTCOME = "balance over parents"
"""Measures of a merged pair of languages."""


@dataclass(frozen=True)
class Relation:
    """A measure of all pairs of languages, with the gain from merging them."""

    measure: str
    values: Mapping[str, float]
    """By pair, mean over seeds."""
    outcomes: Mapping[str, float]
    """By pair, mean over seeds."""
    association: Association


def relations(findings: Findings) -> list[Relation]:
    """Relate each measure to the gain from merging a pair of languages, if all pairs have it."""
    merged = [each.pair for each in findings.mechanisms if OUTCOME in each.values]
    languages = list(dict.fromkeys(language for pair in merged for language in pair.split("-")))
    pairs = [f"{a}-{b}" for a, b in combinations(languages, 2)]
    outcomes = _means(findings.mechanisms, OUTCOME, pairs)
    if len(languages) < FEWEST or outcomes is None:
        return []
    measures = dict.fromkeys(
        name for each in findings.mechanisms if each.pair in pairs for name in each.values
    )
    found = []
    for measure in measures:
        values = _means(findings.mechanisms, measure, pairs)
        if measure == OUTCOME or values is None or len(set(values.values())) == 1:
            continue
        size = len(languages)
        first, second = (symmetric(np.array([*own.values()]), size) for own in (values, outcomes))
        related = mantel(first, second, np.random.default_rng(0))
        found.append(Relation(measure, values, outcomes, related))
    return found


def _means(
    mechanisms: Sequence[Mechanism], measure: str, pairs: Sequence[str]
) -> dict[str, float] | None:
    """Return a measure's mean over seeds for each pair; None where a pair lacks it."""
    seen: dict[str, list[float]] = {pair: [] for pair in pairs}
    for each in mechanisms:
        if each.pair in seen and measure in each.values:
            seen[each.pair].append(each.values[measure])
    if not all(seen.values()):
        return None
    return {pair: sum(values) / len(values) for pair, values in seen.items()}


def relation_table(findings: Findings) -> Table:
    """Correlation of measures of two languages' changes with the gain from merging them."""
    columns = (
        Column("measure", "Measure", numeric=False),
        Column("correlation", f"Correlation with {OUTCOME}"),
        Column("p", "p"),
        Column("pairs", "Pairs"),
    )
    rows = tuple(
        (
            word(each.measure),
            Cell(signed(each.association.correlation, 2), each.association.correlation),
            Cell(
                f"{each.association.p:.3f}", each.association.p, emphasis=each.association.p < 0.05
            ),
            Cell(str(each.association.pairs), each.association.pairs),
        )
        for each in relations(findings)
    )
    caption = (
        "Spearman’s correlation over pairs of languages, means over seeds. p permutes languages, "
        "not pairs (Mantel 1967), two-sided, not adjusted for the number of measures."
    )
    return Table("relations", "Mechanisms and outcome", caption, columns, rows)


def mechanism_table(mechanisms: Sequence[Mechanism]) -> Table:
    """Measures of the merged models' changes: mean over seeds, smallest and largest."""
    pairs = list(dict.fromkeys(each.pair for each in mechanisms))
    measures = list(dict.fromkeys(name for each in mechanisms for name in each.values))
    rows = []
    for pair in pairs:
        cells = [word(pair)]
        for measure in measures:
            seen = [
                each.values[measure]
                for each in mechanisms
                if each.pair == pair and measure in each.values
            ]
            if not seen:
                cells.append(ABSENT)
                continue
            mean = sum(seen) / len(seen)
            low, middle, high = (
                f"{x:.3g}".replace("-", MINUS) for x in (min(seen), mean, max(seen))
            )
            cells.append(Cell(middle, mean, (min(seen), max(seen)), f"{low} to {high}"))
        rows.append(tuple(cells))
    columns = (
        Column("pair", "Merged pair", numeric=False),
        *(Column(name.replace(" ", "_"), name, with_ci=True) for name in measures),
    )
    caption = (
        "Changes are from the base model, all weights as one vector. Mean over seeds, with the "
        "smallest and largest seed. docs/paper.md defines the measures."
    )
    return Table("mechanisms", "Mechanisms", caption, columns, tuple(rows))
