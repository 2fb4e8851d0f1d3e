"""The time and memory of all statistics of a large study.

    python -m benchmarks.statistics

Fifty models in two stages, 5,404 prompts in six languages on each axis (as many as the six
languages of Aya Red-teaming have, every prompt its own cluster), 10,000 bootstrap draws: rates by
language, averages, length control, fronts, and a contrast of every model on both axes with 10,000
sign patterns. Reading verdicts from disk is not in it.
"""  # noqa: A005

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from benchmarks.machine import describe

from mixmerge.evaluation.measures.rate import Rate
from mixmerge.evaluation.measures.win_rate import WinRate
from mixmerge.evaluation.results import front
from mixmerge.evaluation.scores import AxisScores, ScoreTable
from mixmerge.records import Axis
from mixmerge.records.results import Kind
from mixmerge.stats.paired import sign_flip_p

PROMPTS = 5404
LANGUAGES = np.array(["ar", "en", "es", "fr", "hi", "ru"])


def table(axis: Axis, names: list[str], rng: np.random.Generator) -> ScoreTable:
    """Return made-up scores: ties on the general axis, two in a hundred verdicts missing."""
    values = np.array([0.0, 0.5, 1.0] if axis == "general" else [0.0, 1.0])
    scores = {}
    for place, name in enumerate(names):
        rate = 0.2 + 0.6 * place / len(names)
        share = [1 - rate, rate] if len(values) == 2 else [0.8 - 0.8 * rate, 0.2, 0.8 * rate]
        scores[name] = rng.choice(values, size=PROMPTS, p=share)
        scores[name][rng.random(PROMPTS) < 0.02] = np.nan
    return ScoreTable(
        axis=axis,
        prompts=[f"p{number}" for number in range(PROMPTS)],
        cluster=np.arange(PROMPTS),
        language=LANGUAGES[np.arange(PROMPTS) % 6],
        scores=scores,
    )


def main(models: int, draws: int, out: Path | None) -> None:
    """Print seconds by part, and the most memory that was in use."""
    rng = np.random.default_rng(0)
    trained = [f"m{number}" for number in range(models)]
    pairs = [(name, trained[0]) for name in trained[1:]]
    general_table = table("general", ["base", *trained], rng)
    general_table.scores["base"] = np.full(PROMPTS, 0.5)
    safety_table = table("safety", ["base", *trained], rng)
    lengths = {
        name: dict(zip(general_table.prompts, rng.integers(20, 900, PROMPTS).tolist(), strict=True))
        for name in ["base", *trained]
    }
    seconds: dict[str, float] = {}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.process_time()

    def finished(part: str) -> None:
        seconds[part] = time.process_time() - started - sum(seconds.values())

    wins, harm = WinRate(), Rate(rate="harmful", relative=True)
    general = AxisScores(
        general_table, wins, "base", pairs, draws=draws, seed=[0, 0], lengths=lengths
    )
    finished("sums by cluster, length control")
    safety = AxisScores(safety_table, harm, "base", pairs, draws=draws, seed=[0, 1])
    axes = [
        (wins.info("higher", primary=True), general),
        (harm.info("lower", primary=True), safety),
    ]
    for name in trained:
        for _, scores in axes:
            scores.score(name)
    finished("rates, intervals, languages")
    for half in (trained[::2], trained[1::2]):
        kinds: dict[str, Kind] = dict.fromkeys(half, "merge")
        front(kinds, "base", axes)
    finished("bootstrap of both axes, fronts")
    for a, b in pairs:
        for _, scores in axes:
            sign_flip_p(scores.difference_totals(a, b), rng, draws)
    finished("permutation tests")
    total = sum(seconds.values())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for part, spent in [*seconds.items(), ("all", total)]:
        print(f"{spent:6.1f} s  {part}")
    print(f"{most:.0f} MB at most ({before:.0f} MB before)")
    if out is not None:
        found = {"processor_seconds": {**seconds, "all": total}, "megabytes": most}
        out.write_text(json.dumps({**describe(None), **found}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    main(asked.models, asked.draws, asked.out)
