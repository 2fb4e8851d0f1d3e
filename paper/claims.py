"""The paper's five claims, each decided by a rule stated before the numbers.

All intervals are 95 %, for new seeds and new questions (`paper.two_way`). A claim "A is
better than B" looks at two differences on the same questions, win rate and harm rate:

- **agrees**: A is better on at least one axis (the interval excludes zero) and worse on neither;
- **disagrees**: A is worse on at least one axis. A trade of one axis for the other is therefore
  no agreement: the claim is that A wins;
- **not decidable**: neither interval excludes zero.

Where every answer gives the same difference there is no interval, and nothing is decided.

"SLERP balances best" is about both axes at once: balance is win rate - harm rate, and SLERP must be
above each other method to agree; it disagrees when any is above SLERP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mixmerge.evaluation.results import decide as of_axes
from mixmerge.stats.estimate import Estimate
from paper.published import METHODS
from paper.scores import Formula, Scores

Decision = Literal["agrees", "disagrees", "not decidable"]

_ROUNDING = 1e-12
"""Equal answers differ by this much where their differences are not exact."""


@dataclass(frozen=True)
class Evidence:
    """One difference behind a decision."""

    what: str
    estimate: Estimate
    more_is_better: bool


@dataclass(frozen=True)
class Claim:
    """A claim of the paper with what we find."""

    name: str
    says: str
    """The claim and how it is put to the test."""
    paper: str
    """The paper's own numbers, by the same rule."""
    decision: Decision
    words: str
    evidence: tuple[Evidence, ...]


def has_spread(estimate: Estimate) -> bool:
    """Say whether the answers differ, so that there is something to make an interval from."""
    return estimate.high - estimate.low > _ROUNDING


def sign(estimate: Estimate) -> int:
    """Return 1 or -1 where the interval lies on one side of zero, else 0.

    Where every answer gives the same difference the interval is a point. That is no certainty but
    the lack of an interval, so it decides nothing.
    """
    if not has_spread(estimate):
        return 0
    return int(estimate.low > 0) - int(estimate.high < 0)


def agreement(published: float, ours: Estimate) -> Decision:
    """Compare the sign of one published difference with ours.

    Args:
        published: the paper's difference; it comes without an interval.
        ours: the same difference here, in the same direction.
    """
    if sign(ours) == 0 or published == 0:
        return "not decidable"
    return "agrees" if (published > 0) == (sign(ours) > 0) else "disagrees"


def decide(win: Estimate, harm: Estimate) -> tuple[Decision, str]:
    """Decide "A is better than B" from the differences A - B, and say why."""
    signs = {"win rate": sign(win), "harm rate": -sign(harm)}
    better = " and ".join(axis for axis, value in signs.items() if value > 0)
    worse = " and ".join(axis for axis, value in signs.items() if value < 0)
    says: dict[str, tuple[Decision, str]] = {
        "beats": ("agrees", f"better {better}, worse on neither"),
        "loses": ("disagrees", f"worse {worse}"),
        "trades": ("disagrees", f"a trade: better {better}, worse {worse}"),
        "undecided": ("not decidable", "neither interval excludes zero"),
    }
    return says[of_axes(signs.values())]


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
    """Decide every claim whose models are there, in the paper's order."""
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
