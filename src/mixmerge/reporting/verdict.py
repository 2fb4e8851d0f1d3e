"""Does merging beat mixing? The rule that decides, and the sentences that say so.

A merge is compared with the baseline mixture of its stage by two paired contrasts, win rate and
harm rate, whose p-values are already adjusted for the number of comparisons (Holm). With
significance at 0.05, a merge

- **beats** the mixture when it is better on at least one axis and worse on none,
- **loses** when it is worse on at least one axis and better on none,
- **trades** when it is better on one axis and worse on the other,
- is **undecided** when neither difference is significant: no evidence is not equality,
- is **incomplete** while one of the two contrasts is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mixmerge.records.results import Contrast, Results, Stage
from mixmerge.reporting.formats import (
    NARROW_SPACE,
    p_value,
    percent,
    points,
    points_interval,
    share,
)
from mixmerge.reporting.roster import dominates, models_of, rates, short_name, stage_name, stages

SIGNIFICANCE = 0.05

Decision = Literal["beats", "trades", "undecided", "loses", "incomplete"]

_FROM_BEST: tuple[Decision, ...] = ("beats", "trades", "undecided", "loses", "incomplete")


@dataclass(frozen=True)
class Comparison:
    """One merge against the baseline mixture of its stage; differences are merge - mixture."""

    stage: Stage
    merge: str
    baseline: str
    general: Contrast | None
    safety: Contrast | None

    @property
    def decision(self) -> Decision:
        """What the two contrasts say together."""
        if self.general is None or self.safety is None:
            return "incomplete"
        signs = {_significant_sign(self.general), -_significant_sign(self.safety)}
        if signs == {0}:
            return "undecided"
        if signs >= {1, -1}:
            return "trades"
        return "beats" if 1 in signs else "loses"

    @property
    def support(self) -> tuple[float, ...]:
        """Sort key: the lower, the better the merge is supported.

        First the decision, then how many axes are significantly better, then the better axis's
        p-value, then the sum of both gains.
        """
        rank = float(_FROM_BEST.index(self.decision))
        if self.general is None or self.safety is None:
            return (rank,)
        better = [
            contrast.p_adjusted
            for contrast, gain in (
                (self.general, self.general.difference),
                (self.safety, -self.safety.difference),
            )
            if gain > 0
        ]
        significant = sum(p < SIGNIFICANCE for p in better)
        gains = self.general.difference - self.safety.difference
        return rank, -significant, min(better, default=1.0), -gains


@dataclass(frozen=True)
class Expert:
    """A single expert whose rates are at least as good on both axes as those of others."""

    name: str
    over: tuple[str, ...]
    """Whom it dominates: the best-supported merge, the baseline mixture, or both."""


@dataclass(frozen=True)
class StageVerdict:
    """What one stage says."""

    stage: Stage
    comparisons: tuple[Comparison, ...]
    """One for each merge, in the order of the tables."""
    best: Comparison | None
    """The best-supported merge; None while no comparison is complete."""
    expert: Expert | None
    sentence: str


@dataclass(frozen=True)
class Conclusion:
    """The answer to "mix or merge?"."""

    headline: str
    stages: tuple[StageVerdict, ...]

    def of(self, stage: Stage) -> StageVerdict:
        """Return what one stage says."""
        return next(verdict for verdict in self.stages if verdict.stage == stage)


def conclude(results: Results, baselines: Mapping[Stage, str]) -> Conclusion:
    """Decide every merge against its baseline mixture and say the outcome in sentences.

    Args:
        results: Models and contrasts; both may be incomplete.
        baselines: The mixture that each stage's merges are measured against.
    """
    verdicts = tuple(_stage_verdict(results, stage, baselines) for stage in stages(results))
    return Conclusion(_headline(results, verdicts), verdicts)


def _stage_verdict(results: Results, stage: Stage, baselines: Mapping[Stage, str]) -> StageVerdict:
    baseline = baselines.get(stage, "")
    merges = [name for name in models_of(results, stage) if results.models[name].kind == "merge"]
    comparisons = tuple(
        Comparison(
            stage,
            merge,
            baseline,
            find_contrast(results, merge, baseline, "general"),
            find_contrast(results, merge, baseline, "safety"),
        )
        for merge in merges
    )
    complete = [comparison for comparison in comparisons if comparison.decision != "incomplete"]
    best = min(complete, key=lambda comparison: comparison.support, default=None)
    expert = _dominating_expert(results, best) if best else None
    sentence = _stage_sentence(results, stage, comparisons, best, expert)
    return StageVerdict(stage, comparisons, best, expert, sentence)


def find_contrast(
    results: Results, a: str, b: str, axis: Literal["general", "safety"]
) -> Contrast | None:
    """Return the contrast of two models as a - b, turned round where it is stored as b - a."""
    for contrast in results.contrasts:
        if contrast.axis != axis:
            continue
        if (contrast.a, contrast.b) == (a, b):
            return contrast
        if (contrast.a, contrast.b) == (b, a):
            ci = contrast.ci and (-contrast.ci[1], -contrast.ci[0])
            return contrast.model_copy(
                update={"a": a, "b": b, "difference": -contrast.difference, "ci": ci}
            )
    return None


def is_significant(contrast: Contrast) -> bool:
    """Say whether the adjusted p-value is below 0.05."""
    return contrast.p_adjusted < SIGNIFICANCE


def _significant_sign(contrast: Contrast) -> int:
    if not is_significant(contrast):
        return 0
    return (contrast.difference > 0) - (contrast.difference < 0)


def _dominating_expert(results: Results, best: Comparison) -> Expert | None:
    rivals = {
        name: rates(results.models[name])
        for name in (best.merge, best.baseline)
        if name in results.models
    }
    found = []
    for name in models_of(results, best.stage):
        if results.models[name].kind == "expert":
            own = rates(results.models[name])
            over = tuple(rival for rival, other in rivals.items() if dominates(own, other))
            found.append(Expert(name, over))
    top = max(found, key=lambda expert: (best.merge in expert.over, len(expert.over)), default=None)
    return top if top and top.over else None


def describe(results: Results, name: str) -> str:
    """Name a trained model by its share of safety data where that is known."""
    model = results.models.get(name)
    if model is None or model.safety_share is None:
        return name or "mixture"
    noun = "expert" if model.kind == "expert" else "mix"
    return f"{share(model.safety_share)} safety {noun}"


def _differences(comparison: Comparison) -> str:
    general, safety = comparison.general, comparison.safety
    if general is None or safety is None:
        raise AssertionError("only complete comparisons are put into words")
    helpful = _evidence(general, f"95{NARROW_SPACE}% interval ")
    return (
        f"changes the win rate by {points(general.difference)} points"
        f" ({helpful}) and the harm rate by {points(safety.difference)} points"
        f" ({_evidence(safety)})"
    )


def _evidence(contrast: Contrast, prefix: str = "") -> str:
    p = p_value(contrast.p_adjusted)
    return f"{prefix}{points_interval(contrast.ci)}, {p}" if contrast.ci else p


def _tally(comparisons: tuple[Comparison, ...]) -> str:
    words: dict[Decision, tuple[str, str]] = {
        "beats": ("beats it", "beat it"),
        "trades": ("trades one axis for the other", "trade one axis for the other"),
        "undecided": ("cannot be told apart from it", "cannot be told apart from it"),
        "loses": ("loses to it", "lose to it"),
        "incomplete": ("is not compared yet", "are not compared yet"),
    }
    counts = {word: sum(c.decision == word for c in comparisons) for word in words}
    return ", ".join(
        f"{number} {words[word][number > 1]}" for word, number in counts.items() if number
    )


def _stage_sentence(
    results: Results,
    stage: Stage,
    comparisons: tuple[Comparison, ...],
    best: Comparison | None,
    expert: Expert | None,
) -> str:
    where = stage_name(stage)
    if best is None:
        return f"{where}: no merge is compared with the baseline mixture on both axes yet."
    total = len(comparisons)
    return (
        f"{where}: of {total} {'merges' if total > 1 else 'merge'} against the "
        f"{describe(results, best.baseline)}, {_tally(comparisons)}; the best-supported, "
        f"{short_name(best.merge, stage)}, {_differences(best)}"
        f"{_refusal_clause(results, best)}{_expert_clause(results, best, expert)}."
    )


def _refusal_clause(results: Results, best: Comparison) -> str:
    """A merge that refuses everything is safe: its refusals of harmless requests belong here."""
    own, mix = results.models.get(best.merge), results.models.get(best.baseline)
    if not own or not mix or own.over_refusal is None or mix.over_refusal is None:
        return ""
    return (
        f"; it refuses {percent(own.over_refusal.rate)} of harmless requests (the mix: "
        f"{percent(mix.over_refusal.rate)})"
    )


def _expert_clause(results: Results, best: Comparison, expert: Expert | None) -> str:
    if expert is None:
        return ""
    names = {best.merge: "this merge", best.baseline: "the mix"}
    over = " and ".join(names[rival] for rival in expert.over)
    return (
        f"; yet the {describe(results, expert.name)} alone measures at least as well on both "
        f"axes as {over}"
    )


def _headline(results: Results, verdicts: tuple[StageVerdict, ...]) -> str:
    decided = [(verdict, verdict.best) for verdict in verdicts if verdict.best]
    if not decided:
        return "No verdict yet: no merge has been compared with its baseline mixture on both axes."
    top, best = min(decided, key=lambda pair: pair[1].support)
    others = [stage_name(v.stage) for v, own in decided if own.decision != "beats"]
    where = "" if best.decision == "beats" else f"at the {stage_name(best.stage)} stage, "
    return (
        f"{_claim(best, others)}: {where}against the {describe(results, best.baseline)}, "
        f"{short_name(best.merge, best.stage)} {_differences(best)}"
        f"{_expert_clause(results, best, top.expert)}."
    )


def _claim(best: Comparison, stages_without: list[str]) -> str:
    if best.decision == "beats":
        but = f", not at the {stages_without[0]} stage" if stages_without else ""
        return f"Merging beats mixing at the {stage_name(best.stage)} stage{but}"
    if best.decision == "trades":
        return "Merging does not beat mixing; at best it trades one axis for the other"
    if best.decision == "undecided":
        return (
            "Merging is not shown to beat mixing; the best case is within the noise of this "
            "evaluation"
        )
    return "Mixing beats merging; every merge that was compared loses"
