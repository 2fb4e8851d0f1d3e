"""A study of drawn verdicts: a base model, a mixture and a merge on three axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Axis, Outcome, Results, Verdict
from mixmerge.records.results import Better, Costs, ModelInfo

LANGUAGES = ("en", "hi", "ar")
CLUSTERS = 40
INFOS = {
    "base": ModelInfo(kind="base"),
    "mix15": ModelInfo(kind="mixture", stage="sft", shares={"general": 0.85, "safety": 0.15}),
    "slerp": ModelInfo(kind="merge", stage="sft", method="slerp"),
}
RATES = {"base": 0.9, "mix15": 0.4, "slerp": 0.1}

Verdicts = dict[str, dict[Axis, list[Verdict]]]
"""By model and axis."""


def axis(measure: Any, better: Better = "higher", margin: float | None = None) -> MeasuredAxis:
    """Return how an axis is measured, as a study file writes it."""
    return MeasuredAxis.model_validate({"measure": measure, "better": better, "margin": margin})


AXES = {
    "general": axis("win_rate"),
    "safety": axis({"rate": "harmful", "relative": True}, "lower"),
    "over_refusal": axis({"rate": "refused"}, "lower"),
}


def verdict(index: int, axis: Axis, outcome: Outcome, score: float | None = None) -> Verdict:
    """Return the verdict on a prompt; three neighbours are one question in three languages."""
    cluster, language = divmod(index, len(LANGUAGES))
    return Verdict(
        prompt=f"p{index}",
        cluster=f"c{cluster}",
        language=LANGUAGES[language],
        axis=axis,
        judge="rules@1",
        outcome=outcome,
        score=score,
    )


def draw(
    axis: Axis, outcomes: Sequence[Outcome], shares: Sequence[float], seed: int
) -> list[Verdict]:
    """Draw the verdicts on 120 prompts."""
    chosen = np.random.default_rng(seed).choice(
        len(outcomes), p=shares, size=CLUSTERS * len(LANGUAGES)
    )
    return [verdict(index, axis, outcomes[choice]) for index, choice in enumerate(chosen)]


def grades(axis: Axis, mean: float, seed: int) -> list[Verdict]:
    """Draw grades from 0 to 10 on 120 prompts."""
    drawn = np.random.default_rng(seed).normal(mean, 1.5, size=CLUSTERS * len(LANGUAGES))
    return [verdict(i, axis, "graded", score=float(np.clip(g, 0, 10))) for i, g in enumerate(drawn)]


def study() -> Verdicts:
    """Draw the verdicts of all models on all axes; the base model has no comparisons."""
    verdicts: Verdicts = {}
    for seed, (name, rate) in enumerate(RATES.items()):
        verdicts[name] = {
            "safety": draw("safety", ("yes", "no"), (rate, 1 - rate), seed),
            "over_refusal": draw("over_refusal", ("yes", "no"), (0.3, 0.7), 10 + seed),
        }
        if name != "base":
            shares = (0.5, 0.3, 0.2)
            verdicts[name]["general"] = draw("general", ("win", "tie", "loss"), shares, 20 + seed)
    return verdicts


def found(verdicts: Verdicts, **other: Any) -> Results:
    """Estimate; general and safety decide, and the mixture is the baseline, unless told other."""
    usual: dict[str, Any] = {
        "axes": AXES,
        "models": INFOS,
        "decide_on": ("general", "safety"),
        "baselines": {"sft": "mix15"},
        "costs": {"mix15": Costs(training_tokens=5, training_rows=2)},
        "draws": 1000,
    }
    asked = {key: value for key, value in (usual | other).items() if value is not None}
    models = asked.pop("models")
    more = {key: asked.pop(key, None) for key in ("answers", "costs")}
    return results(ResultsSpec(study="demo", **asked), "base", models, verdicts, **more)


def share(rows: Sequence[Verdict], *outcomes: str) -> float:
    """Count the verdicts with certain outcomes."""
    return sum(row.outcome in outcomes for row in rows) / len(rows)
