"""Measures of two models' changes from the base that may explain what their merge keeps.

For a pair of models:

- **cosine**: of the two changes; 0 is unrelated, 1 the same direction.
- **opposed signs**: of the weights changed in both, the share whose changes have opposite signs
  (Yadav et al. 2023, arXiv:2306.01708).
- **norm**: of the change, divided by the norm of the base (mean of the pair).
- **small**: share of weights that change by less than a hundredth of the change's root mean square.
- **effective rank**: exp of the entropy of a matrix's singular values (Roy and Vetterli 2007),
  divided by the largest possible rank, averaged over matrices by size.
- **balance over parents**: win rate - harm rate of a merged pair of languages, minus the mean of
  its two parents' (test items).
- **gain kept**: of an expert's gain over the base on its own axis, the share that the linear merge
  at its chosen weight has (test items); below 0 if it is worse than the base.
"""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from mixmerge.records import Axis
from mixmerge.study.steps.kind import model_path
from paper.scores import Findings, Mechanism, Scores
from paper.seeds import SeedRun

Weights = Mapping[str, NDArray[np.float32]]

STAGES = ("sft", "dpo")


def mechanisms(run: SeedRun, found: Findings) -> list[Mechanism]:
    """Measure the finished pairs of one seed: the experts of each stage, and languages."""
    pairs = {stage: (f"{stage}-0", f"{stage}-100") for stage in STAGES}
    pairs |= {f"{a}-{b}": (f"sft-{a}", f"sft-{b}") for a, b in combinations(run.study.languages, 2)}
    place = found.seeds.index(run.seed)
    known = [name for name in run.study.checkpoints if f"train/{name}" in run.folders]
    made = []
    for pair, names in pairs.items():
        if set(names) <= set(known):
            values = _measures(_change(run, names[0]), _change(run, names[1]))
            values |= (
                _kept(found, pair, place) if pair in STAGES else _over_parents(found, pair, place)
            )
            made.append(Mechanism(pair, run.seed, values))
    made += [
        Mechanism(
            f"{name} %, DPO step alone",
            run.seed,
            _alone(_change(run, f"dpo-{name}", f"sft-{name}")),
        )
        for name in ("0", "100")
        if {f"dpo-{name}", f"sft-{name}"} <= set(known)
    ]
    return made


def _weights(run: SeedRun, name: str) -> Weights:
    step = f"base/{name}" if name == "base" else f"train/{name}"
    folder: Path = model_path(run.folders[step])
    return {key: value for file in sorted(folder.glob("*.safetensors"))
            for key, value in load_file(file).items()}  # fmt: skip


def _change(run: SeedRun, name: str, since: str = "base") -> dict[str, NDArray[np.float32]]:
    before, after = _weights(run, since), _weights(run, name)
    changes = {key: after[key] - before[key] for key in before}
    size = np.sqrt(sum(float(np.vdot(w, w)) for w in before.values()))
    changes["*"] = np.array([size], np.float32)  # the norm of the changed weights
    return changes


def _flat(change: Weights) -> NDArray[np.float64]:
    return np.concatenate([w.ravel() for key, w in change.items() if key != "*"]).astype(np.float64)


def _alone(change: Weights) -> dict[str, float]:
    flat = _flat(change)
    scale = float(np.sqrt(np.mean(flat**2)))
    return {
        "norm": float(np.linalg.norm(flat)) / float(change["*"][0]),
        "small": float(np.mean(np.abs(flat) < 0.01 * scale)),
        "effective rank": _effective_rank(change),
    }


def _measures(first: Weights, second: Weights) -> dict[str, float]:
    a, b = _flat(first), _flat(second)
    both = (a != 0) & (b != 0)
    alone = [_alone(first), _alone(second)]
    return {
        "cosine": float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))),
        "opposed signs": float(np.mean(np.sign(a[both]) != np.sign(b[both]))),
        **{name: (alone[0][name] + alone[1][name]) / 2 for name in alone[0]},
    }


def _effective_rank(change: Weights) -> float:
    shares, sizes = [], []
    for key, matrix in change.items():
        if key == "*" or matrix.ndim != 2:
            continue
        singular = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
        p = singular / singular.sum()
        p = p[p > 0]
        shares.append(float(np.exp(-np.sum(p * np.log(p)))) / len(singular))
        sizes.append(matrix.size)
    return float(np.average(shares, weights=sizes))


def _kept(found: Findings, stage: str, place: int) -> dict[str, float]:
    """Return the share of each expert's gain that the linear merge keeps at its chosen weight."""
    names = ["base", f"{stage}-linear", f"{stage}-0", f"{stage}-100"]
    if not found.test.has(names):
        return {}
    base, merged, general, safe = (
        (_mean(found.test, "general", name, place), _mean(found.test, "safety", name, place))
        for name in names
    )
    gains = {
        "general gain kept": (merged[0] - base[0], general[0] - base[0]),
        "safety gain kept": (base[1] - merged[1], base[1] - safe[1]),
    }
    # Without a gain there is no share of it.
    return {name: own / expert for name, (own, expert) in gains.items() if expert > 0}


def _over_parents(found: Findings, pair: str, place: int) -> dict[str, float]:
    """Return the balance of a merged pair of languages minus the mean of its parents'."""
    names = [f"pair-{pair}", *(f"sft-{language}" for language in pair.split("-"))]
    if not found.test.has(names):
        return {}
    merged, *parents = (
        _mean(found.test, "general", name, place) - _mean(found.test, "safety", name, place)
        for name in names
    )
    return {"balance over parents": merged - sum(parents) / len(parents)}


def _mean(scores: Scores, axis: Axis, name: str, place: int) -> float:
    return float(np.nanmean(scores.axes[axis].scores[name][place]))
