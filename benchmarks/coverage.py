"""How often a nominal 95 % interval holds: simulated studies of known truth.

    python -m benchmarks.coverage --out benchmarks/results/coverage.json

The studies are those of `benchmarks.simulations`. A cell of a table is the share of intervals that
held the truth, among the studies in which one was offered.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmarks.machine import describe
from benchmarks.simulations import BATCH, LANGUAGES, STUDIES, Truth

CLUSTERS = (20, 50, 100, 200)
DESIGNS = {"six languages share questions": LANGUAGES, "every prompt its own": 1}
"""Prompts per cluster. The second is also what one language of the first looks like."""
LEAST_OFFERED = 0.5
"""Share of studies with an interval from which on its coverage is judged."""


@dataclass(frozen=True)
class Cell:
    """Coverage of one interval under one truth."""

    estimate: str
    design: str
    clusters: int
    truth: Truth
    offered: float
    """Share of studies in which there was an interval."""
    coverage: float | None
    """Share of those in which it held the truth; None where it was never offered."""
    wrong: float
    """Share of all studies in which an interval was offered that did not hold the truth."""


def measure(name: str, studies: int) -> Iterator[Cell]:
    """Yield the cells of one kind of study."""
    study, truths = STUDIES[name]
    for design, per_cluster in DESIGNS.items():
        for truth in truths:
            for clusters in CLUSTERS:
                entropy = [clusters, per_cluster, *(round(1000 * share) % 2**32 for share in truth)]
                rng = np.random.default_rng(entropy)
                made: dict[str, list[bool | None]] = defaultdict(list)
                for _ in range(studies // BATCH):
                    for estimate, interval, target in study(rng, clusters, per_cluster, truth):
                        # Sums in another order differ in the last bits.
                        made[estimate].append(
                            interval and interval[0] - 1e-9 <= target <= interval[1] + 1e-9
                        )
                for estimate, held in made.items():
                    yield _cell(estimate, design, clusters, truth, held)


def _cell(
    estimate: str, design: str, clusters: int, truth: Truth, held: Sequence[bool | None]
) -> Cell:
    right, wrong = held.count(True), held.count(False)
    made = right + wrong
    return Cell(
        estimate=estimate,
        design=design,
        clusters=clusters,
        truth=truth,
        offered=made / len(held),
        coverage=right / made if made else None,
        wrong=wrong / len(held),
    )


def markdown(cells: Sequence[Cell]) -> str:
    """Return one table: a row for each estimate, design and truth, a column for each size."""
    head = ["interval", "prompts", "truth", *(f"{number} clusters" for number in CLUSTERS)]
    rows: dict[tuple[str, str, Truth], dict[int, Cell]] = defaultdict(dict)
    for cell in cells:
        rows[cell.estimate, cell.design, cell.truth][cell.clusters] = cell
    lines = [head, ["---"] * 3 + ["---:"] * len(CLUSTERS)]
    for (estimate, design, truth), by_size in rows.items():
        shares = ", ".join(f"{share:g}" for share in truth)
        lines.append([estimate, design, shares, *(_text(by_size[number]) for number in CLUSTERS)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(cell: Cell) -> str:
    often = f"in {cell.offered:.0%}"
    if cell.coverage is None or cell.offered < LEAST_OFFERED:
        return f"– ({often})"
    return f"{cell.coverage:.1%}" + ("" if cell.offered > 0.995 else f" ({often})")


def summary(cells: Sequence[Cell]) -> str:
    """Say the range of coverages, and how often an interval was wrong at most."""
    judged_cells = [c for c in cells if c.coverage is not None and c.offered >= LEAST_OFFERED]
    covers = [c.coverage for c in judged_cells if c.coverage is not None]
    wrong = max(cell.wrong for cell in cells)
    outside = [c for c in judged_cells if c.coverage and not 0.93 <= c.coverage <= 0.97]
    return (
        f"{len(covers)} cells: {min(covers):.1%} to {max(covers):.1%}, {len(outside)} outside 93 "
        f"to 97 %. Wrong intervals, whatever was offered: at most {wrong:.1%} of studies."
    )


def main(names: Sequence[str], studies: int, out: Path | None) -> None:
    """Simulate, print the tables, and write the cells; other kinds of study in the file stay."""
    for name in names:
        cells = list(measure(name, studies))
        print(f"\n## {name}\n\n{markdown(cells)}\n\n{summary(cells)}", flush=True)
        if out is not None:
            known = json.loads(out.read_text()) if out.is_file() else {}
            measured = {"studies": studies, "cells": [asdict(cell) for cell in cells]}
            content = {**known, **describe(None), name: measured}
            out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(STUDIES), help="all of: %(default)s")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    main(asked.names, asked.studies, asked.out)
