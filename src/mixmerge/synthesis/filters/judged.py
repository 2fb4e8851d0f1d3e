"""Filters that ask a judge about every answer: a rule, a pattern or a classifier.

Judges behind endpoints are left out: filters run again with each round and are not part of a plan's
price. The recipe `pairs` asks such judges.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixmerge.errors import DataError
from mixmerge.evaluation.judges import JUDGES, JudgeContext
from mixmerge.evaluation.judges.judge import BaseJudgeSpec
from mixmerge.records import Item, Judge, Prompt, Question, Response
from mixmerge.spec_model import one_of
from mixmerge.synthesis.filters.filter import FilterContext
from mixmerge.synthesis.row import Row

if TYPE_CHECKING:
    LocalJudge = BaseJudgeSpec
else:
    LocalJudge = one_of({key: JUDGES[key] for key in ("rules", "regex", "classifier")}, "judge")
    """A judge that needs neither calls nor a language model."""


def judge_context(context: FilterContext) -> JudgeContext:
    """Return what such a judge is built from; it keeps no journal."""
    return JudgeContext(journal=Path(), rule_judges=context.rule_judges)


def outcomes(
    judge: Judge, asked: Sequence[tuple[Row, str]], outcome: str
) -> list[tuple[bool, str]]:
    """Return whether each text has the outcome as the answer to its row's prompt, and why.

    Raises:
        DataError: the judge cannot say it of a text.
        UserError: as `Judge.judge`.
    """
    items = [_item(place, row, text) for place, (row, text) in enumerate(asked)]
    verdicts = judge.judge(items, Question(axis="filter", asks="outcome", outcome=outcome))
    for (row, _), each in zip(asked, verdicts, strict=True):
        if each.outcome not in ("yes", "no"):
            raise DataError(
                f"row {row.id}: {each.judge} does not say whether its answer is {outcome} "
                f"({each.outcome}: {each.reason}). Use another judge in this filter."
            )
    return [(each.outcome == "yes", each.reason) for each in verdicts]


def _item(place: int, row: Row, text: str) -> Item:
    name = str(place)  # a row with two answers is asked about twice
    prompt = Prompt(id=name, cluster=name, language=row.language, messages=row.asked)
    return Item(prompt, Response(prompt=name, text=text, finish_reason="stop", tokens=0))


def chosen_answers(rows: Sequence[Row]) -> list[tuple[int, str]]:
    """Return the answer of each row that has one, with its place; of a pair, the preferred one."""
    return [(place, row.answers[0]) for place, row in enumerate(rows) if row.answers]


def no_answers(rows: Sequence[Row], asked: Sequence[object]) -> Counter[str]:
    """Return the count of rows without an answer, which the filter keeps."""
    return Counter({"no answer to judge": len(rows) - len(asked)} if len(asked) < len(rows) else {})
