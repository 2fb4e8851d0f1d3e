"""Open question 1 of the paper: does it matter which languages are merged?

    python -m tools.testbed.pretrain models/wide --wide
    python -m paper.families runs/families --seeds 5 --json benchmarks/results/families.json

trains a model for each of ten languages, merges every pair by TIES, and relates how a pair changes
by merging (merge - parents, so a loss is negative) to how far apart its languages are. ``--table``
only reads finished steps.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from benchmarks.machine import describe, save
from benchmarks.page import show

from mixmerge.errors import DataError
from mixmerge.reporting.formats import signed
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.paired import benjamini_hochberg
from paper.collect import findings
from paper.mantel import mantel, power
from paper.scores import Scores
from paper.seeds import arguments, not_judged, read_seeds, run_seeds

TABLE = Path(__file__).with_name("languages.yaml")
"""The properties of each language."""
STUDY = Path("paper/studies/families.yaml")
STRENGTHS = (0.3, 0.5, 0.7)
CHANGE = "change by merging (merge - parents)"


@dataclass(frozen=True)
class Relation:
    """A distance between languages and the change by merging them."""

    outcome: str
    distance: str
    correlation: float
    p: float
    adjusted: float
    """Adjusted by Benjamini-Hochberg over the rows of the table."""
    pairs: int
    power: dict[str, float]
    """Power: how often a relation of this strength would be found at 5 %."""


def distances(languages: Sequence[str]) -> dict[str, Floats]:
    """Return each distance, shape (languages, languages), from 0 to 1.

    - ``family``: 0 within a branch (French and Spanish), 1/2 within a family, 1 between families;
    - ``structure``: share of the features of the table that differ;
    - ``script``: 0 for the same, 1 for another.
    """
    known: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    described = [known[language] for language in languages]
    kinds: dict[str, Callable[[Any, Any], float]] = {
        "family": lambda a, b: _share_that_differs(a["family"], b["family"]),
        "structure": lambda a, b: _share_that_differs(a["features"], b["features"]),
        "script": lambda a, b: float(a["script"] != b["script"]),
    }
    return {
        kind: np.array([[distance(a, b) for b in described] for a in described])
        for kind, distance in kinds.items()
    }


def _share_that_differs(first: Sequence[str], second: Sequence[str]) -> float:
    return sum(a != b for a, b in zip(first, second, strict=True)) / len(first)


def outcomes(scores: Scores, languages: list[str]) -> dict[str, Floats]:
    """Return each pair's change by merging, in balance (win rate - harm rate), mean over seeds.

    A loss is negative, so where distant languages lose more, the correlation is negative.

    - ``own languages``: in each of the pair's two languages, the merge minus the model of that
      language; the mean of the two;
    - ``all languages``: the merge minus the mean of the two models, over all prompts.
    """
    size = len(languages)
    own, everywhere = np.zeros((size, size)), np.zeros((size, size))
    for i, a in enumerate(languages):
        for j, b in enumerate(languages[:i]):
            pair = f"pair-{b}-{a}"
            changes = [
                _balance(scores, pair, language) - _balance(scores, f"sft-{language}", language)
                for language in (a, b)
            ]
            parents = [_balance(scores, f"sft-{language}") for language in (a, b)]
            own[i, j] = own[j, i] = sum(changes) / 2
            everywhere[i, j] = everywhere[j, i] = _balance(scores, pair) - sum(parents) / 2
    return {"own languages": own, "all languages": everywhere}


def require_all(scores: Scores, languages: list[str]) -> None:
    """Check that every model and every pair is finished.

    Raises:
        DataError: some are missing; the message gives their number and the first.
    """
    wanted = [f"sft-{each}" for each in languages]
    wanted += [f"pair-{a}-{b}" for a, b in combinations(languages, 2)]
    missing = [name for name in wanted if not scores.has([name])]
    if missing:
        raise not_judged(missing, f"{len(missing)} of {len(wanted)}")


def _balance(scores: Scores, model: str, language: str | None = None) -> float:
    rates = (scores.estimate(axis, {model: 1.0}, language).value for axis in ("general", "safety"))
    return next(rates) - next(rates)


def relations(scores: Scores, languages: list[str], seed: int = 0) -> list[Relation]:
    """Relate every outcome to every distance."""
    rng = np.random.default_rng(seed)
    found = [
        (what, kind, distance, mantel(distance, outcome, rng))
        for what, outcome in outcomes(scores, languages).items()
        for kind, distance in distances(languages).items()
    ]
    adjusted = benjamini_hochberg([each.p for *_, each in found])
    strength = {
        kind: {f"{r:g}": power(distance, r, rng) for r in STRENGTHS}
        for kind, distance in distances(languages).items()
    }
    return [
        Relation(what, kind, each.correlation, each.p, p, each.pairs, strength[kind])
        for (what, kind, _, each), p in zip(found, adjusted, strict=True)
    ]


def markdown(rows: list[Relation]) -> str:
    """Return the table."""
    power_of = " / ".join(f"{r:g}" for r in STRENGTHS)
    lines = [
        f"| {CHANGE}, in | distance | correlation | p | adjusted | power at {power_of} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.outcome} | {row.distance} | {signed(row.correlation, 2)} | {row.p:.3f} "
        f"| {row.adjusted:.3f} | {' / '.join(f'{x:.0%}' for x in row.power.values())} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=5)
    parser.add_argument("--table", action="store_true", help="only read finished steps")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    asked = parser.parse_args()
    if not asked.table:
        run_seeds(STUDY, asked)
    try:
        found = findings(read_seeds(STUDY, asked.root, asked.seeds), [])
        languages = list(found.languages)
        require_all(found.test, languages)
    except DataError as error:
        sys.exit(str(error))
    rows = relations(found.test, languages)
    show(asked.docs, "families", markdown(rows))
    values = {name: matrix.tolist() for name, matrix in outcomes(found.test, languages).items()}
    about = describe(None) | {"seeds": asked.seeds, "languages": languages, "outcomes": values}
    save(asked.json, about, "relations", rows)


if __name__ == "__main__":
    main()
