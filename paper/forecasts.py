"""Do measurements made before a merge say how much of its parents' gains it keeps?

    python -m paper.forecasts runs/paper --seeds 10

inspects every pair of SFT experts of the finished studies of `paper.worlds`, as `mixmerge inspect
--base --prompts` does on the development prompts, and relates each measure to the merges of the
pair. Reads finished steps only.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from benchmarks.page import show
from scipy.stats import spearmanr

from mixmerge.evaluation.behaviour import measure_behaviour
from mixmerge.evaluation.prompts import spread
from mixmerge.files import read_rows
from mixmerge.merging.inspection.inspect import inspect
from mixmerge.records import Prompt
from mixmerge.stats.bootstrap import Floats
from mixmerge.study.spec import BASE
from paper.collect import scores_of
from paper.scores import Scores
from paper.seeds import SeedRun, arguments, read_run
from paper.worlds import SHARES, WORLDS, study_of

PROMPTS = 100
"""For each pair, half of each axis."""
MEASURES = {
    "cosine": "cosine of the weights' changes",
    "opposed": "sign conflict",
    "cancelled": "cancels",
    "kl": "KL",
    "same_token": "same token",
    "cka": "CKA",
    "change_cosine": "cosine of the states' changes",
}
METHODS = ("linear", "ties")


@dataclass(frozen=True)
class Pair:
    """Two experts of one training seed, what was measured, and what became of their merges."""

    where: str
    seed: int
    measures: Mapping[str, float]
    kept: Mapping[str, float]
    """By method, at equal weights: the mean over both axes of the merge's gain over the base,
    divided by that of the expert for the axis."""


def pairs_of(where: str) -> dict[str, dict[str, str]]:
    """Return the safety experts of a study, each with its merges with ``sft-0`` by method."""
    if where in WORLDS:
        return {"sft-100": {method: f"sft-{method}-0.5" for method in METHODS}}
    return {f"only-{s}": {method: f"{method}-{s}-0.5" for method in METHODS} for s in SHARES}


def kept(scores: Scores, expert: str, merge: str) -> float:
    """Return the share of the experts' gains that a merge keeps, averaged over the two axes."""
    shares = []
    for axis, best in {"general": "sft-0", "safety": expert}.items():
        rate = {name: float(scores.by_seed(axis, {name: 1.0})[0]) for name in (BASE, best, merge)}
        shares.append((rate[merge] - rate[BASE]) / (rate[best] - rate[BASE]))
    return float(np.mean(shares))


def measured(run: SeedRun, expert: str) -> dict[str, float]:
    """Inspect two experts: their weights, and what they are about to answer."""
    folders = {name: run.folders[f"train/{name}"] / "model" for name in ("sft-0", expert)}
    base = run.folders["base/base"] / "model"
    compared = inspect([*folders.values()], base=base).comparison
    if compared is None:
        raise ValueError(f"{expert}: nothing to compare")
    (weights,) = compared.whole.interferences
    behaviour = measure_behaviour({BASE: base, **folders}, development_prompts(run), base=BASE)
    found = {**weights.model_dump(), **behaviour.agreements[-1].model_dump()}
    # Both have a `cosine` of changes, of weights and of states, under names of their own.
    return {name: float(found[name]) for name in MEASURES}


def development_prompts(run: SeedRun) -> list[Prompt]:
    """Return prompts of the selection, at equal distances, as many of each axis."""
    chosen = []
    for axis in ("general", "safety"):
        file = run.folders[f"prompts/{axis}@selection"] / "rows.jsonl"
        chosen.append(spread(read_rows(file, Prompt), PROMPTS // 2))
    return [prompt for both in zip_longest(*chosen) for prompt in both if prompt]


def pairs(root: Path, seeds: int) -> list[Pair]:
    """Measure every pair whose merges are judged."""
    found = []
    for where in (*WORLDS, "contrasts"):
        for seed in range(seeds):
            if not (root / f"seed-{seed}").is_dir():
                continue
            run = read_run(study_of(where), root / f"seed-{seed}", seed)
            for expert, merges in pairs_of(where).items():
                needed = [BASE, "sft-0", expert, *merges.values()]
                if not set(needed) <= set(run.judged()):
                    continue
                scores = scores_of([run], needed)
                outcome = {method: kept(scores, expert, name) for method, name in merges.items()}
                name = where if where in WORLDS else f"{expert.removeprefix('only-')} % contrasts"
                found.append(Pair(name, seed, measured(run, expert), outcome))
                print(f"{name}, seed {seed}", file=sys.stderr)
    return found


def error(x: Floats, y: Floats, group: Floats) -> float:
    """Return the mean absolute error of a straight line for groups that it was not fitted to.

    Args:
        x: the measure, (pairs,); constant: the mean of the others is what predicts.
        y: the outcome, (pairs,).
        group: pairs with one value are left out together.
    """
    errors = []
    for left_out in np.unique(group):
        inside = group != left_out
        columns = np.stack([np.ones_like(x), x - x[inside].mean()], axis=1)
        line, *_ = np.linalg.lstsq(columns[inside], y[inside], rcond=None)
        errors.append(np.abs(columns[~inside] @ line - y[~inside]))
    return float(np.mean([*chain(*errors)]))


def table(found: Sequence[Pair]) -> str:
    """Return for each measure its rank correlation with the outcomes, and the errors."""
    seeds = np.array([pair.seed for pair in found], dtype=float)
    lines = [
        "| measure | " + " | ".join(f"{m}: rank correlation | {m}: error" for m in METHODS) + " |",
        "|---|" + "---:|" * (2 * len(METHODS)),
    ]
    outcomes = {m: np.array([pair.kept[m] for pair in found]) for m in METHODS}
    means = [f"– | {error(np.zeros(len(seeds)), y, seeds):.3f}" for y in outcomes.values()]
    lines.append(f"| none (the mean) | {' | '.join(means)} |")
    for name, words in MEASURES.items():
        x = np.array([pair.measures[name] for pair in found])
        cells = [
            f"{float(spearmanr(x, y).statistic):+.2f} | {error(x, y, seeds):.3f}"
            for y in outcomes.values()
        ]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def list_of(found: Sequence[Pair]) -> str:
    """Return a table with a row for each pair."""
    lines = [
        "| pair | seed | " + " | ".join(METHODS) + " | " + " | ".join(MEASURES.values()) + " |"
    ]
    lines.append("|---|" + "---:|" * (1 + len(METHODS) + len(MEASURES)))
    for pair in found:
        numbers = [*(pair.kept[m] for m in METHODS), *(pair.measures[m] for m in MEASURES)]
        cells = " | ".join(f"{number:.3f}" for number in numbers)
        lines.append(f"| {pair.where} | {pair.seed} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print or write the tables."""
    parser = arguments(__doc__ or "", seeds=10)
    asked = parser.parse_args()
    found = pairs(asked.root, asked.seeds)
    if len({pair.seed for pair in found}) < 2:
        sys.exit(f"{asked.root}: pairs of at least two seeds are needed (seen: {len(found)}).")
    show(asked.docs, "forecasts", table(found))
    show(asked.docs, "forecasts-one-base", table([pair for pair in found if pair.where != "cliff"]))
    print(list_of(found))


if __name__ == "__main__":
    main()
