"""How often the decision rule says that a merge beats a mix when in truth it does not.

    python -m benchmarks.decisions --studies 1000 --out benchmarks/results/decisions.json

Two kinds of studies of known truth. *One seed*: eight merges against one mix, 200 questions and 66
requests, each in six languages, with ties; the truth is the same for all merges. *Several seeds*:
one claim of the paper's form with 3, 5 or 10 seeds per arm. The margin is 3 points. Beside the rule
stands the one it replaced: better on one axis and not significantly worse on another.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.machine import describe
from paper.claims import MARGIN, decide, sign
from scipy.optimize import brentq
from scipy.special import ndtr

from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.crossed import CrossedMean
from mixmerge.stats.decision import (
    ONE_SIDED,
    Compared,
    adjust_all_axes,
    significant_gain,
)
from mixmerge.stats.decision import decide as of_axes
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.paired import holm

LANGUAGES, MERGES = 6, 8
AXES = ((200, (-0.45, 0.45)), (66, (0.5,)))
"""Clusters, and where the normal numbers behind scores are cut: a third of ties, 31 % harm."""
QUESTION = 0.55
"""Standard deviation of what a question does to every model, where the whole has 1."""
SHARED = 0.5
"""Of the variance of a merge apart from the question, the part that all merges share."""
DRAWS = 999
"""Random sign patterns."""

TRUTHS: dict[str, tuple[float, float]] = {
    "no difference": (0.0, 0.0),
    "+15 win, at the margin of harm": (0.15, -MARGIN),
    "+3 win, at the margin of harm": (0.03, -MARGIN),
    "equal win, at the margin of harm": (0.0, -MARGIN),
    "+6 win, 5 more harm": (0.06, -0.05),
    "at the margin of win, 15 less harm": (-MARGIN, 0.15),
    "+6 win, equal harm": (0.06, 0.0),
    "+6 win, 5 less harm": (0.06, 0.05),
    "+15 win, equal harm": (0.15, 0.0),
    "equal win, 15 less harm": (0.0, 0.15),
}
"""True gains in win rate and in harm; above zero is better for the merge."""


@dataclass(frozen=True)
class Row:
    """How often the rules say "beats" under one truth."""

    truth: str
    gains: tuple[float, float]
    seeds: int
    studies: int
    wins: bool
    """Whether "beats" is right."""
    old_each: float
    """By the replaced rule: share of merges."""
    old_any: float
    """By the replaced rule: share of studies in which any merge beats."""
    each: float
    any: float


def beats_in_truth(gains: Sequence[float]) -> bool:
    """Say whether a model with these true gains beats another: the rule without noise."""
    return max(gains) > 0 and min(gains) > -MARGIN


def differences(
    rng: np.random.Generator, clusters: int, cuts: Sequence[float], gain: float
) -> tuple[Floats, Codes]:
    """Draw the scores of eight merges less those of a mix on the same prompts.

    Scores are cut from normal numbers: with two cuts they are 0, one half and 1, with one 0 and 1.
    Model and mix share the question's part, the merges among them half of the rest. The merges'
    numbers are shifted so that their mean score is above the mix's by exactly ``gain``.

    Returns:
        Differences, shape (clusters * languages, merges), and the cluster of each row.
    """
    shape = (clusters, LANGUAGES, MERGES)
    question = rng.normal(0, QUESTION, (clusters, 1, 1))
    spread = (1 - QUESTION**2) ** 0.5
    mix = question + rng.normal(0, spread, (clusters, LANGUAGES, 1))
    common = rng.normal(0, spread * SHARED**0.5, (*shape[:2], 1))
    own = rng.normal(0, spread * (1 - SHARED) ** 0.5, shape)

    def mean(shift: float) -> float:
        return float(np.mean([1 - ndtr(cut - shift) for cut in cuts]))

    shift = brentq(lambda x: mean(x) - mean(0) - gain, -6, 6)
    numbers = question + common + own + shift
    scores = (np.searchsorted(cuts, numbers) - np.searchsorted(cuts, mix)) / len(cuts)
    return scores.reshape(-1, MERGES), np.repeat(np.arange(clusters), LANGUAGES)


def one_seed(rng: np.random.Generator, gains: Sequence[float]) -> tuple[list[bool], list[bool]]:
    """Return of each merge whether it beats the mix, by the replaced rule and by ours."""
    signs: list[Floats] = []
    p_raw, p_worse, p_better = [], [], []
    for (clusters, cuts), gain in zip(AXES, gains, strict=True):
        values, cluster = differences(rng, clusters, cuts, gain)
        sample = ClusterSample(values, cluster)
        columns = range(MERGES)
        signs.append(values.mean(axis=0))
        p_raw.append([sample.p_of_difference(column, rng, DRAWS) for column in columns])
        p_worse.append([sample.p_at_most(column, -MARGIN, 1) for column in columns])
        p_better.append([sample.p_at_most(column, -MARGIN, -1) for column in columns])
    adjusted = np.reshape(holm(np.ravel(p_raw).tolist()), (len(AXES), MERGES))
    inside = [np.array(adjust_all_axes(np.transpose(p).tolist())).T for p in (p_worse, p_better)]
    old, new = [], []
    for merge in range(MERGES):
        found = [
            Compared(
                significant_gain(float(signs[axis][merge]), float(adjusted[axis][merge])),
                bool(inside[0][axis][merge] < ONE_SIDED),
                bool(inside[1][axis][merge] < ONE_SIDED),
            )
            for axis in range(len(AXES))
        ]
        old.append({each.gain for each in found} in ({1}, {0, 1}))
        new.append(of_axes(found) == "beats")
    return old, new


def several_seeds(
    rng: np.random.Generator, gains: Sequence[float], seeds: int
) -> tuple[list[bool], list[bool]]:
    """Return whether the mean of one arm beats another's over several seeds, by both rules.

    Luck of a seed: a standard deviation of 5 points of win rate and of 8 points of harm.
    """
    found = []
    for (clusters, _), gain, luck in zip(AXES, gains, (0.05, 0.08), strict=True):
        question = rng.normal(0, 0.15, (1, clusters))
        rows = rng.normal(0, 0.45 / LANGUAGES**0.5, (seeds, clusters))
        means = gain + rng.normal(0, luck, (seeds, 1)) + question + rows
        found.append(
            CrossedMean.of(LANGUAGES * means, np.full(means.shape, float(LANGUAGES))).estimate()
        )
    win, gain_of_harm = found
    harm = replace(
        gain_of_harm, value=-gain_of_harm.value, low=-gain_of_harm.high, high=-gain_of_harm.low
    )
    old = {sign(win), -sign(harm)} in ({1}, {0, 1})
    return [old], [decide(win, harm)[0] == "agrees"]


def measure(studies: int) -> Iterator[Row]:
    """Simulate every truth with one seed and with several."""
    for truth, gains in TRUTHS.items():
        for seeds in (1, 3, 5, 10):
            rng = np.random.default_rng([seeds, *(round(1000 * gain) + 1000 for gain in gains)])
            simulate = one_seed if seeds == 1 else partial(several_seeds, seeds=seeds)
            found = np.array([simulate(rng, gains) for _ in range(studies)])
            old, new = found[:, 0], found[:, 1]
            yield Row(
                truth, gains, seeds, studies, beats_in_truth(gains),
                float(old.mean()), float(old.any(axis=1).mean()),
                float(new.mean()), float(new.any(axis=1).mean()),
            )  # fmt: skip


def markdown(rows: Sequence[Row]) -> str:
    """Return the table of docs/statistics.md."""
    lines = [
        "| Truth | Seeds | Right? | Each, before | Any, before | Each | Any |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        any_of = [row.old_any, row.any] if row.seeds == 1 else ["", ""]
        cells = [row.old_each, any_of[0], row.each, any_of[1]]
        told = [cell if isinstance(cell, str) else f"{cell:.1%}" for cell in cells]
        right = "yes" if row.wins else "no"
        lines.append(f"| {row.truth} | {row.seeds} | {right} | {' | '.join(told)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the simulation from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for row in measure(asked.studies):
        rows.append(row)
        print(markdown([row]).splitlines()[-1], flush=True)
    if asked.out:
        content = {**describe(None), "rows": [asdict(row) for row in rows]}
        asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
