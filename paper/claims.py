"""The paper's five claims, each decided by a rule that was fixed before the measurements.

All intervals are 95 %, for new seeds and new questions (`mixmerge.stats.crossed`). A claim "A is
better than B" looks at two differences on the same questions, win rate and harm rate:

- **agrees**: A is better on at least one axis (the interval excludes zero) and not worse by
  `MARGIN` on the other (the interval excludes that);
- **disagrees**: the reverse, or A is better on one axis and worse on the other: the claim is that A
  wins;
- **equivalent**: both intervals lie inside the margin;
- **not decidable**: none of these is shown.

Where every answer gives the same difference there is no interval, and nothing is decided.

"SLERP balances best" concerns both axes at once: balance is win rate - harm rate, and SLERP must be
above each other method to agree; it disagrees when any is above SLERP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mixmerge.stats.decision import Compared
from mixmerge.stats.decision import decide as of_axes
from mixmerge.stats.estimate import Estimate
from paper.published import METHODS
from paper.scores import Formula, Scores

Decision = Literal["agrees", "disagrees", "equivalent", "not decidable"]

Agreement = Literal["agrees", "smaller", "larger", "disagrees", "not decidable"]
"""How one of our differences relates to a published one; see `agreement`."""

MARGIN = 0.03
"""The smallest difference of a rate that matters."""

_ROUNDING = 1e-12
"""Rounding tolerance: differences of equal answers may be this far from equal."""


@dataclass(frozen=True)
class Evidence:
    """One difference behind a decision."""

    what: str
    estimate: Estimate
    more_is_better: bool


@dataclass(frozen=True)
class Claim:
    """A claim of the paper with our decision."""

    name: str
    says: str
    """The claim and how it is tested."""
    paper: str
    """The decision of the same rule on the paper's own numbers."""
    decision: Decision
    words: str
    evidence: tuple[Evidence, ...]


def has_spread(estimate: Estimate) -> bool:
    """Return whether the answers differ, so that an interval exists."""
    return estimate.high - estimate.low > _ROUNDING


def sign(estimate: Estimate) -> int:
    """Return 1 or -1 where the interval lies on one side of zero, else 0.

    If every answer gives the same difference, the interval is a point. That means that there is no
    interval, not certainty, so it decides nothing.
    """
    if not has_spread(estimate):
        return 0
    return int(estimate.low > 0) - int(estimate.high < 0)


def agreement(published: float, ours: Estimate, whole: float = 1.0) -> Agreement:
    """Compare one published difference with ours, in sign and in size.

    Ours *agrees* if its interval contains the published difference and excludes zero. If the
    published one is outside the interval, ours is *smaller* or *larger*, or *disagrees* if it has
    the other sign. An interval that contains both decides nothing.

    Args:
        published: the paper's difference in percent, which has no interval.
        ours: the same difference here, as a fraction.
        whole: the rate that the paper's percent refer to: for harm, the base model's.
    """
    if not has_spread(ours) or published == 0 or whole == 0:
        return "not decidable"
    size = abs(published) / 100 * whole
    low, high = sorted(end if published > 0 else -end for end in ours.interval)
    if high < 0:
        return "disagrees"
    if high < size:
        return "smaller"
    if low > size:
        return "larger"
    return "agrees" if low > 0 else "not decidable"


def decide(win: Estimate, harm: Estimate) -> tuple[Decision, str]:
    """Decide "A is better than B" from the differences A - B, with the reason."""
    axes = {"win rate": compared(win, 1), "harm rate": compared(harm, -1)}
    better = " and ".join(name for name, axis in axes.items() if axis.gain > 0)
    worse = " and ".join(name for name, axis in axes.items() if axis.gain < 0)
    margin = f"{100 * MARGIN:g} points"
    says: dict[str, tuple[Decision, str]] = {
        "beats": ("agrees", f"better {better}, under {margin} worse on either"),
        "loses": ("disagrees", f"worse {worse}, under {margin} better on either"),
        "equivalent": ("equivalent", f"both differences are below {margin}"),
        "trades": ("disagrees", f"a trade: better {better}, worse {worse}"),
        "undecided": ("not decidable", _open(better, worse, margin)),
    }
    return says[of_axes(axes.values())]


def compared(difference: Estimate, direction: int) -> Compared:
    """Describe a difference on one axis, of which more is better (1) or worse (-1)."""
    low, high = sorted(direction * end for end in difference.interval)
    spread = has_spread(difference)
    return Compared(
        direction * sign(difference),
        not_worse=spread and low > -MARGIN,
        not_better=spread and high < MARGIN,
    )


def _open(better: str, worse: str, margin: str) -> str:
    if better or worse:
        said, other = (f"better {better}", "worse") if better else (f"worse {worse}", "better")
        return f"{said}, but perhaps {margin} {other} elsewhere"
    return "neither interval excludes zero"


def mean_of(models: list[str], share: float = 1.0) -> dict[str, float]:
    """Return the formula of ``share`` times the mean over models."""
    return {model: share / len(models) for model in models}


def merges(stage: str) -> list[str]:
    """Return the four objective-based merges of a stage."""
    return [f"{stage}-{method}" for method in METHODS]


def over_mix(stage: str) -> dict[str, float]:
    """Return the formula of the mean gain of a stage's four merges over its 15 % mix."""
    return mean_of(merges(stage)) | {f"{stage}-15": -1.0}


def claims(scores: Scores) -> list[Claim]:
    """Decide every claim whose models are finished, in the paper's order."""
    asked: tuple[tuple[Callable[[Scores], Claim], list[str]], ...] = (
        (_merging, [*over_mix("dpo")]),
        (_slerp, merges("dpo")),
        (_stages, [*over_mix("dpo"), *over_mix("sft")]),
        (_order, ["merge-dpo", "dpo-slerp"]),
        (_languages, ["three-ties", "six-ties"]),
    )
    return [decided(scores) for decided, models in asked if scores.has(models)]


def _axes(scores: Scores, formula: Formula, what: str) -> tuple[Evidence, Evidence]:
    return (
        Evidence(f"{what}: win rate", scores.estimate("general", formula), more_is_better=True),
        Evidence(f"{what}: harm rate", scores.estimate("safety", formula), more_is_better=False),
    )


def _claim(name: str, says: str, paper: str, evidence: tuple[Evidence, Evidence]) -> Claim:
    decision, words = decide(evidence[0].estimate, evidence[1].estimate)
    return Claim(name, says, paper, decision, words, evidence)


def _merging(scores: Scores) -> Claim:
    says = "DPO stage: the mean of the four merges against the 15 % mix."
    paper = "agrees: +2.8 win, 2.2 points less relative harm (SFT: +6.0, 4.6 points more)"
    evidence = _axes(scores, over_mix("dpo"), "merges − mix")
    return _claim("Merging beats mixing", says, paper, evidence)


def _slerp(scores: Scores) -> Claim:
    evidence = tuple(
        Evidence(
            f"SLERP − {method}: balance",
            scores.balance({"dpo-slerp": 1.0, f"dpo-{method}": -1.0}),
            more_is_better=True,
        )
        for method in METHODS
        if method != "slerp"
    )
    signs = [sign(each.estimate) for each in evidence]
    better = [each.what for each, value in zip(evidence, signs, strict=True) if value < 0]
    decision: Decision = "not decidable"
    if better:
        decision = "disagrees"
    elif all(value > 0 for value in signs):
        decision = "agrees"
    names = [what.removeprefix("SLERP − ").removesuffix(": balance") for what in better]
    words = (
        f"{' and '.join(names)} balances better" if better else f"{signs.count(1)} of 3 below it"
    )
    says = "DPO stage: win rate − harm rate of the SLERP merge against each other method."
    paper = "SLERP 78.0 win, −57.8 % harm; of that balance DARE-TIES within 2 points, TIES 7 below"
    return Claim("SLERP balances best", says, paper, decision, words, evidence)


def _stages(scores: Scores) -> Claim:
    formula = over_mix("dpo") | {model: -share for model, share in over_mix("sft").items()}
    says = "The mean gain of the four DPO merges over their mix, minus that of the SFT merges."
    paper = "a trade: safety gain +2.2 against −4.6, general gain +2.8 against +6.0"
    evidence = _axes(scores, formula, "gain of DPO − gain of SFT merges")
    return _claim("DPO merges beat SFT merges", says, paper, evidence)


def _order(scores: Scores) -> Claim:
    says = "SLERP: SFT → merge → DPO against SFT → DPO → merge."
    paper = "a trade: −61.2 % harm and 74.0 win against −57.8 % and 78.0"
    formula = {"merge-dpo": 1.0, "dpo-slerp": -1.0}
    evidence = _axes(scores, formula, "merge first − DPO first")
    return _claim("Merging before DPO beats after", says, paper, evidence)


def _languages(scores: Scores) -> Claim:
    says = "TIES of monolingual SFT models: English, French and Spanish against all six."
    paper = "agrees: −65.3 % harm and 77.0 win against −63.2 % and 71.2"
    formula = {"three-ties": 1.0, "six-ties": -1.0}
    evidence = _axes(scores, formula, "three − six")
    return _claim("Three related languages beat six", says, paper, evidence)
