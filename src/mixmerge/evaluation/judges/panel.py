"""A panel of judges: the majority's verdict, or all verdicts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import BaseJudgeSpec, JudgeContext, Order
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress, named, silent
from mixmerge.records import MISSING, Item, Judge, Outcome, Question, Verdict

if TYPE_CHECKING:
    Member = BaseJudgeSpec  # any kind but a panel: the list of kinds says which there are

Keep = Literal["majority", "all"]
_NO_MAJORITY = (
    "grades have no majority: with the measure `mean` use `keep: all`, which takes the mean over "
    "the judges of the panel"
)
_ORDERS: tuple[Order, ...] = ("model-first", "base-first")


class PanelJudgeSpec(BaseJudgeSpec):
    """A panel of judges."""

    key = "panel"
    answers = frozenset({"comparison", "outcome", "grade"})

    panel: tuple["Member", ...]
    """The judges."""
    keep: Keep = "majority"
    """``majority``: the verdict of more than half of them; ``all``: every judge's verdicts."""

    @field_validator("panel", mode="before")
    @classmethod
    def _has_judges_and_no_panels(cls, members: Any) -> Any:
        if members in ([], ()):
            raise ValueError("a panel needs at least 1 item: list its judges here")
        listed = members if isinstance(members, (list, tuple)) else ()
        if any(isinstance(member, dict) and "panel" in member for member in listed):
            raise ValueError("a judge on a panel cannot be a panel itself: list its judges here")
        return members

    def identity(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        return {"panel": [member.identity() for member in self.panel], "keep": self.keep}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {
            f"{index}:{role}": path
            for index, member in enumerate(self.panel)
            for role, path in member.paths().items()
        }

    def check(self, question: Question) -> None:
        """Check that every judge can answer a question, and that votes can be counted."""
        if question.asks == "grade" and self.keep == "majority":
            raise ValueError(_NO_MAJORITY)
        for member in self.panel:
            member.check(question)

    def build(self, context: JudgeContext) -> "PanelJudge":
        """Return the panel; judges with the same name get a digest of their settings."""
        judges = [member.build(context) for member in self.panel]
        count = Counter(judge.name for judge in judges)
        marked = [
            _Marked(judge, fingerprint(member.identity())[:8]) if count[judge.name] > 1 else judge
            for member, judge in zip(self.panel, judges, strict=True)
        ]
        return PanelJudge(marked, self.keep)


class PanelJudge:
    """Asks every judge of a panel; see `mixmerge.records.Judge`.

    A ``majority`` is more than half of the panel; judges without a verdict count against it, and
    without a majority the verdict is ``unreadable``. Each order of a comparison has its own
    majority. The verdict keeps the single votes. With ``all``, every judge's verdicts are kept,
    and a score is the mean over judges.
    """

    def __init__(self, judges: Sequence[Judge], keep: Keep = "majority") -> None:
        """Form a panel; if a judge returns the verdicts of several people, each has a vote.

        Raises:
            SpecError: a judge is on the panel twice.
        """
        twice = [name for name, count in Counter(j.name for j in judges).items() if count > 1]
        if twice:
            raise SpecError(f"panel: the judge {twice[0]} is named twice; name it once.")
        self._judges = judges
        self._keep = keep

    @property
    def name(self) -> str:
        """The names of all judges, and what is kept of their verdicts."""
        return f"panel of {'; '.join(judge.name for judge in self._judges)} ({self._keep})"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Ask every judge.

        Raises:
            SpecError: a majority of grades is asked for, or a judge cannot answer.
        """
        if question.asks == "grade" and self._keep == "majority":
            raise SpecError(f"{question.axis}: {_NO_MAJORITY}.")
        by_prompt: dict[str, list[Verdict]] = {item.prompt.id: [] for item in items}
        for judge in self._judges:
            for verdict in judge.judge(items, question, named(progress, judge.name)):
                by_prompt[verdict.prompt].append(verdict)
        groups = by_prompt.values()
        if self._keep == "all":
            return [verdict for verdicts in groups for verdict in verdicts]
        return [self._majority(group) for verdicts in groups for group in _by_order(verdicts)]

    def _majority(self, verdicts: Sequence[Verdict]) -> Verdict:
        """Return the majority's verdict on one prompt in one order."""
        votes = {verdict.judge: verdict.outcome for verdict in verdicts}
        if len(votes) < len(verdicts):
            raise SpecError(
                f"panel: the prompt {verdicts[0].prompt!r} has two verdicts of one judge "
                f"({verdicts[0].judge}). Every person needs their own name in `judge`, and a "
                "model that is on the panel twice needs another rubric for each axis."
            )
        outcome, reason = _decide(votes)
        summary = {"judge": self.name, "outcome": outcome, "reason": reason, "votes": votes}
        return verdicts[0].model_copy(update={**summary, "notes": {}})


class _Marked:
    """A judge whose name ends with a digest, since its model is on the panel more than once."""

    def __init__(self, judge: Judge, mark: str) -> None:
        self._judge = judge
        self._mark = mark
        self.name = f"{judge.name} #{mark}"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        verdicts = self._judge.judge(items, question, progress)
        return [v.model_copy(update={"judge": f"{v.judge} #{self._mark}"}) for v in verdicts]


def _by_order(verdicts: Sequence[Verdict]) -> Iterable[list[Verdict]]:
    """Group verdicts by order; a verdict without an order counts in both."""
    if all(verdict.order is None for verdict in verdicts):
        return [list(verdicts)]
    return [
        [v.model_copy(update={"order": order}) for v in verdicts if v.order in (order, None)]
        for order in _ORDERS
    ]


def _decide(votes: Mapping[str, Outcome]) -> tuple[Outcome, str]:
    """Return the majority's outcome, or ``unreadable``, and the votes in words."""
    said = "; ".join(f"{judge}: {outcome}" for judge, outcome in votes.items())
    # The next run makes failed calls again, and then this verdict, too.
    if "error" in votes.values():
        return "error", said
    outcome, count = Counter(votes.values()).most_common(1)[0]
    if outcome in MISSING or 2 * count <= len(votes):
        return "unreadable", f"no majority: {said}"
    return outcome, said


SPEC = PanelJudgeSpec
