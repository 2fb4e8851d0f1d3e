"""Looks at a comparison before all items are there: how often they are wrong, and what they save.

    python -m benchmarks.sequential

A study compares eight models with one baseline on 200 source questions in six languages; half of
the prompts are ties, and two languages of a question agree with correlation 0.3. The models share
the baseline's luck. All comparisons are tested after 40, 80, 120, 160 and 200 questions (or after
three looks, or once), by the tests of `mixmerge compare` and Holm's adjustment over the eight. In
the first table no model differs: the share of studies that find a difference anywhere. In the
second, one model differs: how often it is found, and the share of prompts asked until then.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.paired import holm, sign_flip_ps
from mixmerge.stats.sequential import sequential_p

QUESTIONS, LANGUAGES, MODELS = 200, 6, 8
PLANS = {"once": (1.0,), "3 looks": (1 / 3, 2 / 3, 1.0), "5 looks": (0.2, 0.4, 0.6, 0.8, 1.0)}
EFFECTS = (0.06, 0.08, 0.10, 0.14)
LEVEL = 0.05


def scores(rng: np.random.Generator, gains: Sequence[float]) -> Floats:
    """Return the differences of each model from the baseline, shape (prompts, models).

    Both models' outcomes are thirds of a bell curve's: a win counts 1 and a tie 1/2.
    """
    prompts = QUESTIONS * LANGUAGES

    def luck(columns: int) -> Floats:
        shared = np.repeat(rng.standard_normal((QUESTIONS, columns)), LANGUAGES, axis=0)
        own = rng.standard_normal((prompts, columns))
        mixed: Floats = np.sqrt(0.3) * shared + np.sqrt(0.7) * own
        return mixed

    base, models = luck(1), luck(MODELS) + 3.0 * np.asarray(gains)
    # About half of the prompts are ties: neither better nor worse by enough.
    outcome = np.sign(models) * (np.abs(models) > 0.67)
    reference = np.sign(base) * (np.abs(base) > 0.67)
    return np.asarray((outcome - reference) / 2)


def p_values(differences: Floats, questions: int, rng: np.random.Generator) -> Floats:
    """Return the p-value of each model's comparison by the first questions."""
    rows = questions * LANGUAGES
    sample = ClusterSample(differences[:rows], np.repeat(np.arange(questions), LANGUAGES))
    p = np.array([sample.p_of_equal_means(column) for column in range(differences.shape[1])])
    near = np.flatnonzero(p < LEVEL)
    if len(near):
        p[near] = np.maximum(p[near], sign_flip_ps(sample.totals[:, near], rng))
    return p


def study(rng: np.random.Generator, gains: Sequence[float]) -> dict[str, tuple[Floats, Floats]]:
    """Return, for each plan, when each comparison is decided and when a naive reader stops.

    Both of shape (models,), as a fraction of the questions; infinite if never.
    """
    differences = scores(rng, gains)
    known: dict[int, Floats] = {}
    found = {}
    for plan, fractions in PLANS.items():
        counts = [round(QUESTIONS * fraction) for fraction in fractions]
        for count in counts:
            if count not in known:
                known[count] = p_values(differences, count, rng)
        told = np.array([known[count] for count in counts])
        decided, naive = np.full(MODELS, np.inf), np.full(MODELS, np.inf)
        for look, fraction in enumerate(fractions):
            seen = [sequential_p(told[: look + 1, m], fractions[: look + 1]) for m in range(MODELS)]
            for stops, p in ((decided, seen), (naive, told[look].tolist())):
                now = np.array(holm(p)) < LEVEL
                stops[now & np.isinf(stops)] = fraction
        found[plan] = decided, naive
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000, help="without a difference")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    wrong = {plan: np.zeros(2) for plan in PLANS}
    for number in range(asked.studies):
        rng = np.random.default_rng([asked.seed, number])
        for plan, stops in study(rng, [0.0] * MODELS).items():
            wrong[plan] += [np.isfinite(each).any() for each in stops]
    print(f"| of {asked.studies:,} studies without a difference | adjusted for looks | not |")
    print("|---|---:|---:|")
    for plan, counts in wrong.items():
        own, naive = counts / asked.studies
        print(f"| {plan} | {own:.1%} | {naive:.1%} |", flush=True)
    print("| true difference, points | " + " | ".join(f"{p}: found | asked" for p in PLANS) + " |")
    print("|---:|" + "---:|---:|" * len(PLANS))
    for effect in EFFECTS:
        cells, true = "", []
        gains = [effect] + [0.0] * (MODELS - 1)
        stops: dict[str, list[float]] = {plan: [] for plan in PLANS}
        for number in range(asked.studies // 10):
            rng = np.random.default_rng([asked.seed, number, round(1000 * effect)])
            true.append(scores(np.random.default_rng([number, 7]), gains)[:, 0].mean())
            for plan, (decided, _) in study(rng, gains).items():
                stops[plan].append(float(decided[0]))
        for own in stops.values():
            power = np.mean(np.isfinite(own))
            cells += f" {power:.0%} | {np.mean(np.minimum(own, 1.0)):.0%} |"
        print(f"| {100 * np.mean(true):.1f} |{cells}", flush=True)


if __name__ == "__main__":
    main()
