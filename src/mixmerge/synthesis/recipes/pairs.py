"""Choose the best and the worst of several answers to one prompt, by any judge."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from mixmerge.evaluation.calls.endpoint import body_of, call_key
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.judges import JudgeSpec, members, of_people
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.judges.rubric import Reading
from mixmerge.evaluation.judging import require_answers
from mixmerge.evaluation.measures import MeasureSpec
from mixmerge.evaluation.measures.win_rate import WinRate
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import named
from mixmerge.records import Item, Prompt, Question, Response, by_prompt, score_of
from mixmerge.records.results import Better
from mixmerge.spec_model import SpecModel
from mixmerge.synthesis.asking import journalled, stand_in
from mixmerge.synthesis.recipes.recipe import Made, Recipe, StepContext
from mixmerge.synthesis.replies import UnusableError
from mixmerge.synthesis.row import Kind, MadeBy, Row


class Preference(SpecModel):
    """What makes one answer better than another."""

    judge: JudgeSpec
    """Any judge of an axis: an endpoint, a model here, a classifier, a pattern, a panel."""
    measure: MeasureSpec = WinRate()
    """``win_rate`` compares answers two by two, in both orders; ``{rate: harmful}`` and ``{mean:
    [0, 10]}`` judge each alone."""
    better: Better = "higher"
    """``lower`` if the measure is of something bad, such as ``{rate: harmful}``."""
    least_margin: float = Field(0.0, ge=0)
    """The least difference, in the measure's units; pairs below are left out. Ties always are."""

    @model_validator(mode="after")
    def _judge_can_answer(self) -> Self:
        self.judge.check(self.measure.question(""))
        if of_people(self.judge) or any(each.runs_code for each in members(self.judge)):
            raise ValueError("people and code cannot judge here: name another judge")
        return self


@dataclass
class _Group:
    """The different answers to one prompt."""

    rows: list[Row] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    """A share of the measure's range, NaN without a verdict."""


class Pairs(Recipe):
    """One pair for each prompt: its best answer and its worst."""

    key = "pairs"
    takes = frozenset({"messages"})

    pairs: Preference
    """How answers are compared."""

    def gives(self, taken: Kind) -> Kind:
        """Return that answers become pairs."""
        del taken
        return "pair"

    def make(self, rows: Sequence[Row], context: StepContext) -> Made:
        """Judge the answers and pair them, in the order of each prompt's first answer."""
        groups: dict[str, _Group] = {}
        for row in rows:
            turns = [turn.model_dump() for turn in row.asked]
            group = groups.setdefault(fingerprint([row.language, turns]), _Group())
            # A model that says the same twice has said it once.
            if row.answers not in [each.answers for each in group.rows]:
                group.rows.append(row)
        compares = self.pairs.measure.asks == "comparison"
        items = list(_comparisons(groups) if compares else _single(groups))
        shares, judge = self._judged(items, context)
        for key, group in groups.items():
            group.scores = (_mean_wins if compares else _own)(key, len(group.rows), shares)
        made = Made()
        for group in groups.values():
            try:
                made.rows.append(self._pair(group, judge, context))
            except UnusableError as why:
                made.drop(context.step, group.rows[0], why)
        repeated = len(rows) - sum(len(group.rows) for group in groups.values())
        if repeated:
            made.notes.append(f"{repeated:,} answers repeat another to the same prompt")
        return made

    def _judged(
        self, items: Sequence[Item], context: StepContext
    ) -> tuple[Mapping[str, float], str]:
        """Return the share of each item by its prompt's id, and the judge's name."""
        spec, question = self.pairs, self.pairs.measure.question(context.step)
        if context.asker.planning:
            for each in members(spec.judge):
                if isinstance(each, EndpointJudgeSpec):
                    missing = _missing(each, items, question, context.judging.journal)
                    context.asker.replies[context.step, each.model] = missing
            # In a plan every prompt makes a pair, for earlier answers are better.
            earlier = question.asks == "comparison"
            return {i.prompt.id: float(earlier or i.prompt.id.endswith("/0")) for i in items}, ""
        judge = spec.judge.build(context.judging)
        verdicts = judge.judge(items, question, named(context.progress, context.step))
        if not context.drop_failed:
            require_answers(context.step, verdicts)
        shares = {
            prompt: score_of(said, spec.measure.worth)
            for prompt, said in by_prompt(verdicts).items()
        }
        return shares, judge.name

    def _pair(self, group: _Group, judge: str, context: StepContext) -> Row:
        """Return the pair of a group.

        Raises:
            UnusableError: there are not two answers, verdicts or scores.
        """
        if len(group.rows) < 2:
            raise UnusableError("only one answer to the prompt")
        sign = 1 if self.pairs.better == "higher" else -1
        judged = [
            (sign * score, -place) for place, score in enumerate(group.scores)
            if not math.isnan(score)
        ]  # fmt: skip
        if len(judged) < 2:
            raise UnusableError("no verdict on two answers", f"{len(judged)} of {len(group.rows)}")
        (high, best), (low, worst) = max(judged), min(judged)
        margin = self.pairs.measure.of_difference(high - low)
        if high == low:
            raise UnusableError("a tie", f"{len(judged)} answers")
        if margin < self.pairs.least_margin:
            reason = f"margin below {self.pairs.least_margin:g}"
            raise UnusableError(reason, f"{margin:g}")
        chosen, rejected = group.rows[-best], group.rows[-worst]
        by = MadeBy(
            step=context.step,
            recipe=self.key,
            model=judge,
            prompt=fingerprint(self.pairs.judge.identity())[:16],
            parameters={
                "answers": len(group.rows),
                "rejected": rejected.id,
                "rejected_by": [each.model_dump() for each in rejected.provenance.made_by],
            },
        )
        return chosen.paired(by, chosen.answers[0], rejected.answers[0], round(margin, 6))


def _missing(
    judge: EndpointJudgeSpec, items: Sequence[Item], question: Question, journal: Path
) -> dict[str, Reply]:
    """Return stand-ins for the judge's replies that are not journalled, by call."""
    rubric = judge.rubric_for(question)
    known = journalled(journal)
    requests = (
        judge.request(rubric, text) for text in Reading(rubric, question, judge.model).texts(items)
    )
    calls = {call_key(body_of(judge, request)): request for request in requests}
    return {key: stand_in(request) for key, request in calls.items() if key not in known}


def _item(name: str, row: Row, other: Row | None = None) -> Item:
    prompt = Prompt(
        id=name,
        cluster=name,
        language=row.language,
        category=row.category,
        messages=row.asked,
        translated=row.provenance.translated,
    )
    return Item(prompt, _response(name, row), None if other is None else _response(name, other))


def _response(name: str, row: Row) -> Response:
    return Response(prompt=name, text=row.answers[0], finish_reason="stop", tokens=0)


def _comparisons(groups: Mapping[str, _Group]) -> Iterator[Item]:
    for key, group in groups.items():
        for i, j in combinations(range(len(group.rows)), 2):
            yield _item(f"{key}/{i}/{j}", group.rows[i], group.rows[j])


def _single(groups: Mapping[str, _Group]) -> Iterator[Item]:
    for key, group in groups.items():
        if len(group.rows) > 1:
            for i, row in enumerate(group.rows):
                yield _item(f"{key}/{i}", row)


def _mean_wins(key: str, n: int, shares: Mapping[str, float]) -> list[float]:
    """Return the mean share of wins of each answer over those that it was compared with."""
    won: list[list[float]] = [[] for _ in range(n)]
    for i, j in combinations(range(n), 2):
        share = shares[f"{key}/{i}/{j}"]
        if not math.isnan(share):
            won[i].append(share)
            won[j].append(1 - share)
    return [math.fsum(own) / len(own) if own else math.nan for own in won]


def _own(key: str, n: int, shares: Mapping[str, float]) -> list[float]:
    return [shares.get(f"{key}/{place}", math.nan) for place in range(n)]


RECIPE = Pairs
