"""Toy findings for the tests of the page."""

from collections.abc import Mapping, Sequence

import numpy as np
from paper.scores import AxisTable, Scores

from mixmerge.records import Axis

LANGUAGES = ("en", "fr")


def scores(
    rates: Mapping[str, tuple[float, float]],
    *,
    seeds: int = 3,
    questions: int = 40,
    noise: float = 0.0,
    languages: Sequence[str] = LANGUAGES,
) -> Scores:
    """Scores whose means are the asked (win rate, harm rate), the same in every language.

    Args:
        rates: by model.
        seeds: of every model.
        questions: on each axis.
        noise: standard deviation between seeds, added to all answers of a seed.
        languages: each question is asked in each.
    """
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(questions), len(languages))
    language = np.tile(np.array(languages), questions)
    axes: dict[Axis, AxisTable] = {}
    for place, axis in enumerate(("general", "safety", "over_refusal")):
        by_model = {}
        for model, own in rates.items():
            rate = own[place] if place < 2 else 0.1
            # The same questions are hard for every model, so that differences are sharp.
            answers = np.linspace(-0.1, 0.1, questions)[cluster] + rate
            # Each model is a little better and worse at some, or there would be no spread.
            answers += rng.permutation(np.linspace(-0.005, 0.005, questions))[cluster]
            luck = rng.normal(0, noise, (seeds, 1)) if noise else np.zeros((seeds, 1))
            by_model[model] = answers[None, :] + luck
        axes[axis] = AxisTable(cluster, language, by_model)
    return Scores(axes)


def published_world(**changes: tuple[float, float]) -> Scores:
    """A world in which every claim of the paper holds clearly, but for what is changed."""
    rates = {
        "base": (0.5, 0.8),
        **{f"sft-{share}": pair for share, pair in
           {"0": (0.7, 0.7), "15": (0.6, 0.5), "100": (0.55, 0.2)}.items()},
        **{f"dpo-{share}": pair for share, pair in
           {"0": (0.7, 0.7), "15": (0.6, 0.5), "100": (0.55, 0.2)}.items()},
        **{f"sft-{m}": (0.62, 0.48) for m in ("linear", "slerp", "ties", "dare-ties")},
        **{f"dpo-{m}": (0.70, 0.40) for m in ("linear", "ties", "dare-ties")},
        "dpo-slerp": (0.75, 0.35),
        "merge-dpo": (0.75, 0.30),
        "three-ties": (0.66, 0.40),
        "six-ties": (0.63, 0.45),
    }  # fmt: skip
    return scores(rates | changes)
