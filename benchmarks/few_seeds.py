"""How often intervals over training seeds hold the truth, where luck is not as they assume.

    python -m benchmarks.few_seeds --docs docs/statistics.md

Intervals over seeds (`mixmerge.stats.crossed`) take the luck of a training as normal. Here a
difference of two arms has a luck that is normal, that has two outcomes, or that is a rare collapse,
of a standard deviation of 5 or 15 points; every seed answers the same 200 questions.
"""

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from benchmarks.page import show

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.crossed import CrossedMean

SEEDS = (3, 5, 10, 20)
QUESTIONS = 200
ANSWERS = 0.5
"""Standard deviation of a question's difference."""
SPREADS = (0.05, 0.15)
"""Standard deviations of the luck of a training."""
_RARE = 0.1
"""Share of the trainings that collapse."""


def _collapses(rng: np.random.Generator, seeds: int) -> Floats:
    luck = np.where(rng.random(seeds) < _RARE, _RARE - 1, _RARE)
    return np.asarray(luck / np.sqrt(_RARE * (1 - _RARE)))


LUCK: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, seeds: rng.normal(0, 1, seeds),
    "two outcomes, as often": lambda rng, seeds: rng.choice([-1.0, 1.0], seeds),
    "a collapse in 1 of 10": _collapses,
}
"""Of mean 0 and standard deviation 1."""


def holds(rng: np.random.Generator, kind: str, spread: float, seeds: int) -> bool:
    """Simulate one study whose true difference is 0."""
    of_questions = rng.normal(0, ANSWERS / 2, QUESTIONS)
    rest = rng.normal(0, ANSWERS, (seeds, QUESTIONS))
    values = spread * LUCK[kind](rng, seeds)[:, None] + of_questions + rest
    found = CrossedMean.of(values, np.ones_like(values)).estimate()
    return bool(found.low <= 0 <= found.high)


def markdown(studies: int) -> str:
    """Simulate every cell and return the table."""
    head = " | ".join(f"{seeds} seeds" for seeds in SEEDS)
    lines = [f"| luck of a training | {head} |", "|---|" + "---:|" * len(SEEDS)]
    for spread, kind in product(SPREADS, LUCK):
        cells = []
        for seeds in SEEDS:
            rng = np.random.default_rng(seeds)
            share = np.mean([holds(rng, kind, spread, seeds) for _ in range(studies)])
            cells.append(f"{100 * share:.1f} %")
        lines.append(f"| {kind}, {100 * spread:.0f} points | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--docs", type=Path, help="a Markdown page to show the table in, too")
    asked = parser.parse_args()
    show(asked.docs, "few-seeds", markdown(asked.studies))


if __name__ == "__main__":
    main()
