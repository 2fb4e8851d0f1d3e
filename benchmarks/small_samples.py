"""Intervals and tests where samples are small or odd: what was used before, and what is used now.

    python -m benchmarks.small_samples --studies 2000 --out benchmarks/results/small_samples.json

Three questions: do intervals of a rate hold when clusters are unequal in size; how often do tests
of a mean difference of zero reject when differences are skewed; do intervals of a judge's agreement
with labels hold with few clusters. Every cell simulates studies of known truth.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.machine import describe

from mixmerge.stats.agreement import (
    Coefficient,
    clustered_share,
    coefficient,
    cohen_kappa,
    youden,
)
from mixmerge.stats.bootstrap import Codes, Floats, bootstrap_sums, percentile_interval
from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.paired import sign_flip_p
from mixmerge.stats.proportions import clustered_wilson, wilson

PER_CLUSTER = 6
DRAWS = 999

Found = dict[str, bool | None]
"""By method: whether an interval held the truth, or a test rejected it; None without a result."""


@dataclass(frozen=True)
class Cell:
    """One method in one situation."""

    question: str
    situation: str
    clusters: int
    method: str
    offered: float
    """Share of studies with a result."""
    share: float | None
    """Of these: intervals that held the truth, or tests that rejected it."""


def _sizes(rng: np.random.Generator, kind: str, clusters: int) -> Codes:
    if kind == "half in one cluster":
        sizes = np.full(clusters, PER_CLUSTER)
        sizes[0] = PER_CLUSTER * (clusters - 1)
        return sizes
    spread = {"equal": 0.0, "lognormal, sigma 1": 1.0, "lognormal, sigma 1.5": 1.5}[kind]
    return np.maximum(1, PER_CLUSTER * np.exp(rng.normal(0, spread, clusters))).astype(np.intp)


def _beta(rng: np.random.Generator, mean: float, icc: float, clusters: int) -> Floats:
    scale = (1 - icc) / icc
    drawn: Floats = rng.beta(mean * scale, (1 - mean) * scale, clusters)
    return drawn


def unequal_sizes(rng: np.random.Generator, kind: str, clusters: int) -> Found:
    """Estimate a rate of 0.3 (correlation 0.3 within a cluster)."""
    sizes = _sizes(rng, kind, clusters)
    hits = rng.binomial(sizes, _beta(rng, 0.3, 0.3, clusters))
    rows = np.concatenate(
        [np.repeat([1.0, 0.0], [k, n - k]) for k, n in zip(hits, sizes, strict=True)]
    )
    cluster = np.repeat(np.arange(clusters), sizes)
    now = ClusterSample(rows[:, None], cluster).rate(0).offered
    rate = float(rows.mean())
    residual = hits - rate * sizes
    variance = float(residual @ residual) / sizes.sum() ** 2 * clusters / (clusters - 1)
    before = clustered_wilson(rate, variance, clusters) if 0 < rate < 1 and variance else None
    return {"before": _holds(before, 0.3), "now": _holds(now, 0.3)}


def _rows(hits: Codes, sizes: Codes) -> tuple[Floats, Codes]:
    """Return one row of 1 or 0 for each observation, and the cluster of each row."""
    each = [np.repeat([1.0, 0.0], [k, n - k]) for k, n in zip(hits, sizes, strict=True)]
    return np.concatenate(each), np.repeat(np.arange(len(sizes)), sizes)


def _holds(interval: tuple[float, float] | None, truth: float) -> bool | None:
    return None if interval is None else bool(interval[0] <= truth <= interval[1])


SKEWED: dict[str, tuple[Sequence[float], Sequence[float]]] = {
    "none (+1, -1: 15 % each)": ([1, -1, 0], [0.15, 0.15, 0.7]),
    "mild (+1: 25 %, else -1/3)": ([1, -1 / 3], [0.25, 0.75]),
    "strong (+1: 1 in 7, else -1/6)": ([1, -1 / 6], [1 / 7, 6 / 7]),
    "rare (+1: 5 %, -1/6: 30 %)": ([1, -1 / 6, 0], [0.05, 0.3, 0.65]),
}
"""Mean differences of clusters, and how often each occurs; the mean is taken off."""


def skewed(rng: np.random.Generator, kind: str, clusters: int) -> Found:
    """Test a true mean difference of zero at 5 %."""
    values, shares = (np.array(each, dtype=float) for each in SKEWED[kind])
    drawn = rng.choice(values, clusters, p=shares / shares.sum()) - values @ shares / shares.sum()
    sample = ClusterSample(drawn[:, None] / 2, np.arange(clusters))
    return {
        "before": sign_flip_p(drawn, rng, DRAWS) < 0.05,
        "now": sample.p_of_difference(0, rng, DRAWS) < 0.05,
    }


JUDGES = {
    "se .9, sp .8": (0.5, 0.9, 0.8),
    "se .97, sp .97": (0.3, 0.97, 0.97),
    "se .6, sp .6": (0.5, 0.6, 0.6),
}
"""Prevalence, sensitivity and specificity."""


def _tables(rng: np.random.Generator, kind: str, clusters: int) -> Floats:
    """Draw confusion tables of clusters, shape (clusters, 2, 2)."""
    prevalence, *right = JUDGES[kind]
    shape = (clusters, PER_CLUSTER)
    truth = rng.random(shape) < _beta(rng, prevalence, 0.3, clusters)[:, None]
    hit = [rng.random(shape) < _beta(rng, rate, 0.2, clusters)[:, None] for rate in right]
    said = np.where(truth, hit[0], ~hit[1])
    return np.array(
        [[((truth == i) & (said == j)).sum(axis=1) for j in (False, True)] for i in (False, True)],
        dtype=float,
    ).transpose(2, 0, 1)


def agreement(rng: np.random.Generator, kind: str, clusters: int) -> Found:
    """Estimate Youden's J, kappa and sensitivity."""
    tables, place = _tables(rng, kind, clusters), np.arange(clusters)
    found: Found = {}
    for name, statistic in (("J", youden), ("kappa", cohen_kappa)):
        now = coefficient(tables, place, statistic)
        drawn = bootstrap_sums(tables.reshape(clusters, -1), DRAWS, rng).reshape(-1, 2, 2)
        before = percentile_interval(statistic(drawn)) if now else None
        truth = _true(statistic, kind)
        found[f"{name}, before"] = _holds(before, truth)
        found[f"{name}, now"] = _holds(now.offered if now else None, truth)
    seen = tables[:, 1].sum(axis=1)
    positive = tables[seen > 0, 1]
    if len(positive):
        truth = JUDGES[kind][1]
        rows, cluster = _rows(positive[:, 1].astype(np.intp), seen[seen > 0].astype(np.intp))
        before = _worth(positive[:, 1], seen[seen > 0])
        found["sensitivity, before"] = _holds(before, truth)
        found["sensitivity, now"] = _holds(clustered_share(rows, cluster).interval, truth)
    return found


def _worth(hits: Floats, seen: Floats) -> tuple[float, float]:
    """Return Wilson's interval with the normal quantile, as it was before."""
    mean = ClusterMean.of(hits, seen)
    varies = mean.variance > 1e-12
    worth = mean.value * (1 - mean.value) / mean.variance if varies else len(seen)
    return wilson(mean.value, max(1, round(min(worth, mean.n))))


def _true(statistic: Coefficient, kind: str) -> float:
    prevalence, sensitivity, specificity = JUDGES[kind]
    positive, negative = prevalence, 1 - prevalence
    return float(
        statistic(
            np.array(
                [
                    [negative * specificity, negative * (1 - specificity)],
                    [positive * (1 - sensitivity), positive * sensitivity],
                ]
            )
        )
    )


QUESTIONS: dict[str, tuple[Callable[..., Found], Sequence[str], Sequence[int]]] = {
    "unequal clusters: does the interval of a rate hold?": (
        unequal_sizes,
        ("equal", "lognormal, sigma 1", "lognormal, sigma 1.5", "half in one cluster"),
        (20, 50, 100, 200),
    ),
    "skew: how often is a true zero rejected at 5 %?": (skewed, tuple(SKEWED), (20, 30, 66, 200)),
    "agreement with labels: does the interval hold?": (agreement, tuple(JUDGES), (10, 20, 50)),
}


def measure(studies: int) -> Iterator[Cell]:
    """Simulate every question in every situation."""
    for number, (question, (study, kinds, sizes)) in enumerate(QUESTIONS.items()):
        for kind in kinds:
            for clusters in sizes:
                rng = np.random.default_rng([number, kinds.index(kind), clusters])
                found: dict[str, list[bool | None]] = defaultdict(list)
                for _ in range(studies):
                    for method, held in partial(study, rng, kind)(clusters).items():
                        found[method].append(held)
                for method, results in found.items():
                    seen = [held for held in results if held is not None]
                    share = float(np.mean(seen)) if seen else None
                    yield Cell(question, kind, clusters, method, len(seen) / studies, share)


def markdown(cells: Sequence[Cell]) -> str:
    """Return a table for each question: a row for each situation and method."""
    parts = []
    for question in dict.fromkeys(cell.question for cell in cells):
        own = [cell for cell in cells if cell.question == question]
        sizes = sorted({cell.clusters for cell in own})
        lines = [
            f"| {question} | | " + " | ".join(f"{size} clusters" for size in sizes) + " |",
            "|---|---|" + "---:|" * len(sizes),
        ]
        for situation, method in dict.fromkeys((cell.situation, cell.method) for cell in own):
            row = {c.clusters: c for c in own if (c.situation, c.method) == (situation, method)}
            told = " | ".join(_told(row.get(size)) for size in sizes)
            lines.append(f"| {situation} | {method} | {told} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _told(cell: Cell | None) -> str:
    if cell is None or cell.share is None:
        return "–"
    offered = f" (in {cell.offered:.0%})" if cell.offered < 0.995 else ""
    return f"{cell.share:.1%}{offered}" if cell.offered >= 0.05 else "–"


def main() -> None:
    """Run the simulations from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    cells = list(measure(asked.studies))
    print(markdown(cells))
    if asked.out:
        content = {**describe(None), "cells": [asdict(cell) for cell in cells]}
        asked.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
