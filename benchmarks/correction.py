"""Simulated coverage of the rates and differences corrected for a judge's errors.

    python -m benchmarks.correction [studies]

Each simulated study has 200 source prompts in six languages, a judge with sensitivity 0.90 and
specificity 0.93, and labels on a random part of the prompts; the last rows, 60 prompts of its own
in each of some languages. Columns: how often the nominal 95 % interval holds the truth, its mean
width, and in how many studies it is offered.
"""

import sys
from dataclasses import dataclass

import numpy as np

from mixmerge.stats.correction import Labelled, prediction_powered, rogan_gladen
from mixmerge.stats.estimate import Estimate

SENSITIVITY, SPECIFICITY = 0.90, 0.93
CORRELATION = 0.3
"""Of the truth between the languages of one prompt, and between two models."""


@dataclass(frozen=True)
class Layout:
    """Which prompts there are."""

    languages: int
    prompts: int
    """Of each language."""
    shared: bool
    """Whether they are the same questions in every language."""

    @property
    def cluster(self) -> np.ndarray:
        """Return the source prompt of each row."""
        if self.shared:
            return np.repeat(np.arange(self.prompts), self.languages)
        return np.arange(self.prompts * self.languages)

    @property
    def language(self) -> np.ndarray:
        """Return the language of each row."""
        return np.tile(np.arange(self.languages), self.prompts)


TRANSLATED = Layout(6, 200, shared=True)
OWN = [
    (Layout(languages, 60, shared=False), labelled)
    for languages, labelled in ((8, 40), (8, 80), (10, 50), (10, 100), (23, 60), (23, 230))
]


class Tally:
    """Counts how often an interval is offered, holds the truth, and how wide it is."""

    def __init__(self) -> None:
        self.offered = self.holds = 0
        self.width = 0.0

    def add(self, estimate: Estimate | None, truth: float) -> None:
        """Count one estimate."""
        if estimate is None or not np.isfinite(estimate.low):
            return
        self.offered += 1
        self.holds += estimate.low <= truth <= estimate.high
        self.width += estimate.high - estimate.low

    def row(self, studies: int) -> str:
        """Write the three columns."""
        if self.offered < studies / 50:  # too few to say how well they cover
            return f"– | – | {self.offered / studies:.0%}"
        covered, width = self.holds / self.offered, self.width / self.offered
        return f"{covered:.1%} | {width:.3f} | {self.offered / studies:.0%}"


def answers(
    random: np.random.Generator, cluster: np.ndarray, rates: tuple[float, float]
) -> np.ndarray:
    """Draw the truth about two models, shape (2, rows), alike within a prompt."""
    odd = 1 / CORRELATION - 1
    shared = random.random(cluster.max() + 1)
    from scipy.stats import beta

    truth = []
    for rate in rates:
        chance = beta.ppf(shared, rate * odd, (1 - rate) * odd)[cluster]
        truth.append(random.random(len(cluster)) < chance)
    return np.array(truth, dtype=float)


def judged(random: np.random.Generator, truth: np.ndarray) -> np.ndarray:
    """Return what the judge says."""
    hit, false = random.random(truth.shape) < SENSITIVITY, random.random(truth.shape) > SPECIFICITY
    return np.where(truth == 1, hit, false).astype(float)


def simulate(layout: Layout, labelled: int, rates: tuple[float, float], studies: int) -> str:
    """Return one row of the table."""
    random = np.random.default_rng([labelled, round(1000 * rates[0])])
    cluster, language = layout.cluster, layout.language
    raw, ppi, rogan, difference = Tally(), Tally(), Tally(), Tally()
    for _ in range(studies):
        truth = answers(random, cluster, rates)
        said = judged(random, truth)
        known = np.isin(cluster, random.permutation(cluster.max() + 1)[:labelled])
        if len(np.unique(language[known])) < layout.languages:
            continue  # a language without a label has no correction
        labels = np.where(known, truth, np.nan)
        human = prediction_powered(np.full(len(cluster), 0.5), labels[0], cluster, language)
        raw.add(human, rates[0])
        ppi.add(prediction_powered(said[0], labels[0], cluster, language), rates[0])
        both = Labelled(said[:, known].ravel(), truth[:, known].ravel(), np.tile(cluster[known], 2))
        rogan.add(rogan_gladen(said[0], cluster, both), rates[0])
        gap = prediction_powered(
            said[0] - said[1], labels[0] - labels[1], cluster, language, scale="difference"
        )
        difference.add(gap, rates[0] - rates[1])
    cells = " | ".join(tally.row(studies) for tally in (raw, ppi, rogan, difference))
    return f"| {rates[0]:.2f}, {rates[1]:.2f} | {labelled} | {cells} |"


def main() -> None:
    """Print the table in Markdown."""
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    columns = ["labels only", "PPI++", "Rogan-Gladen", "PPI++ of the difference"]
    head = " | ".join(f"{name} | width | offered" for name in columns)
    print(f"| rates | labelled | {head} |")
    print("|---|---:|" + "---:|" * 12)
    for rates in ((0.02, 0.10), (0.05, 0.10), (0.10, 0.20), (0.30, 0.45), (0.60, 0.50)):
        for labelled in (10, 20, 50, 100):
            print(simulate(TRANSLATED, labelled, rates, studies), flush=True)
    for layout, labelled in OWN:
        row = simulate(layout, labelled, (0.40, 0.30), studies)
        print(f"| {layout.languages} languages, {row[2:]}", flush=True)


if __name__ == "__main__":
    main()
