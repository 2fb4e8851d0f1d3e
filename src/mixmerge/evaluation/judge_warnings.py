"""Warnings about judges that do not distinguish answers, found without labels.

A judge with a position bias, or one that always gives the same verdict, gives every model the same
number: a win rate of one half, or one rate or grade for all. It looks like a result and is none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from mixmerge.records import MISSING, Axis, Outcome, Verdict
from mixmerge.records.results import JudgeWarning

FEWEST = 20
"""With fewer verdicts there is no warning; twenty equal verdicts are not chance."""
ONE_PLACE = 0.95
"""Share of comparisons that the answer in one place wins. Every pair is judged in both orders, so
without position bias each place wins half of them."""

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
    """Return a warning for every judge of an axis that does not distinguish answers."""
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
        "although every pair was shown in both orders. It has a position bias, so win rates near "
        "50 % say nothing."
    )
    share = words[place] / n
    return [
        JudgeWarning(
            axis=axis, judge=judge, kind="place", word=place, share=share, n=n, message=message
        )
    ]


def _of_words(axis: Axis, judge: str, rows: Sequence[Verdict]) -> list[JudgeWarning]:
    # Identical answers are ties without an order; no judge has seen them.
    said = Counter(
        row.outcome if row.score is None else str(row.score)
        for row in rows
        if row.outcome not in MISSING and not (row.outcome in _COMPARED and row.order is None)
    )
    (word,) = said if len(said) == 1 else ("",)
    n = said.total()
    # A model may win or lose every comparison, but it is unlikely that all are ties.
    if word in {"", "win", "loss"} or n < FEWEST:
        return []
    message = (
        f"The judge {judge} gave the verdict {word!r} {n:,} times and no other. Either the models "
        "do not differ, or this judge cannot distinguish them."
    )
    if word in {"tie", "yes", "no"}:
        message += " Compare it with labels: `mixmerge evaluate --calibrate`."
    return [
        JudgeWarning(axis=axis, judge=judge, kind="word", word=word, share=1, n=n, message=message)
    ]
