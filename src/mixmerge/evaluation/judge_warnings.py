"""Judges that tell nothing apart, found in their own verdicts, without any label.

A judge that prefers a place, or says the same word of everything, gives every model the same
number: a win rate of one half, or one rate or grade for all. Such a number looks like a finding and
is none, so `results.json` says so.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from mixmerge.records import MISSING, Axis, Outcome, Verdict
from mixmerge.records.results import JudgeWarning

FEWEST = 20
"""Verdicts below which a judge is not accused: twenty equal words of two are no chance."""
ONE_PLACE = 0.95
"""Share of comparisons won by one place. Every pair is judged in both orders, so that a judge of
answers gives each place one half, whoever wins."""

_PLACES: Mapping[tuple[str, Outcome], str] = {
    ("model-first", "win"): "first",
    ("model-first", "loss"): "second",
    ("base-first", "win"): "second",
    ("base-first", "loss"): "first",
}
_COMPARED: frozenset[Outcome] = frozenset({"win", "tie", "loss"})


def judge_warnings(
    verdicts: Mapping[str, Mapping[Axis, Sequence[Verdict]]],
) -> tuple[JudgeWarning, ...]:
    """Return a warning for every judge of an axis that tells nothing apart."""
    found: list[JudgeWarning] = []
    for axis in dict.fromkeys(axis for by_axis in verdicts.values() for axis in by_axis):
        rows = [row for by_axis in verdicts.values() for row in by_axis.get(axis, ())]
        for judge in dict.fromkeys(row.judge for row in rows):
            own = [row for row in rows if row.judge == judge]
            found.extend(_of_places(axis, judge, own) or _of_words(axis, judge, own))
    return tuple(found)


def _of_places(axis: Axis, judge: str, rows: Sequence[Verdict]) -> list[JudgeWarning]:
    words = Counter(
        _PLACES.get((row.order, row.outcome), row.outcome)
        for row in rows
        if row.order is not None and row.outcome in _COMPARED
    )
    n = words.total()
    place = max(("first", "second"), key=words.__getitem__)
    if n < FEWEST or words[place] < ONE_PLACE * n:
        return []
    message = (
        f"The judge {judge} chose the {place} answer in {words[place]:,} of {n:,} comparisons, "
        "although every pair was shown in both orders. It judges places, not answers: the win "
        "rates near 50 % say nothing."
    )
    share = words[place] / n
    return [
        JudgeWarning(
            axis=axis, judge=judge, kind="place", word=place, share=share, n=n, message=message
        )
    ]


def _of_words(axis: Axis, judge: str, rows: Sequence[Verdict]) -> list[JudgeWarning]:
    # Identical answers, which no judge of comparisons is shown, have no order.
    said = Counter(
        row.outcome if row.score is None else str(row.score)
        for row in rows
        if row.outcome not in MISSING and not (row.outcome in _COMPARED and row.order is None)
    )
    (word,) = said if len(said) == 1 else ("",)
    n = said.total()
    # A model may win or lose every comparison; that all answers are equally good is odd.
    if word in {"", "win", "loss"} or n < FEWEST:
        return []
    message = (
        f"The judge {judge} said {word!r} {n:,} times and never anything else. It tells no two "
        "models apart: either there is nothing to tell, or it is blind."
    )
    if word in {"tie", "yes", "no"}:
        message += " Compare it with labels: `mixmerge evaluate --calibrate`."
    return [
        JudgeWarning(axis=axis, judge=judge, kind="word", word=word, share=1, n=n, message=message)
    ]
