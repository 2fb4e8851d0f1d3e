"""Several judges as one: what most of them say, or all that they say."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.outcomes import Classified
from mixmerge.progress import Progress, named, silent
from mixmerge.records import MISSING, Judge, Outcome, Prompt, Response, Verdict

Keep = Literal["majority", "all"]
_ORDERS: tuple[Literal["model-first", "base-first"], ...] = ("model-first", "base-first")


class PanelJudge:
    """Asks every judge of a panel; see `mixmerge.records.Judge`.

    A ``majority`` is more than half of the panel saying the same; without one there is no verdict
    (``unreadable``), and a judge without a verdict counts among those who do not agree. Each
    order of a comparison has its own majority. The single votes stay with the verdict. With
    ``all``, every judge's verdicts are kept as they are, and a score is the mean over judges.
    """

    def __init__(
        self, judges: Sequence[Judge], keep: Keep = "majority", marks: Sequence[str] = ()
    ) -> None:
        """Form a panel.

        Args:
            judges: at least one; one that returns several people's verdicts counts each person.
            keep: one verdict by majority, or all verdicts.
            marks: for each judge, what tells it from another one of the same name.

        Raises:
            SpecError: a judge sits on the panel twice.
        """
        judges = _told_apart(judges, marks) if marks else judges
        twice = [name for name, count in Counter(j.name for j in judges).items() if count > 1]
        if twice:
            raise SpecError(f"panel: the judge {twice[0]} is named twice; its vote counts once.")
        self._judges = judges
        self._keep = keep

    @property
    def name(self) -> str:
        """The names of all judges, and what is kept of them."""
        return f"panel of {'; '.join(judge.name for judge in self._judges)} ({self._keep})"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Compare the model's answers with the base model's."""
        return self._sit(
            prompts, lambda judge, say: judge.compare(prompts, answers, base_answers, say), progress
        )

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request."""
        return self._sit(
            prompts, lambda judge, say: judge.classify(axis, prompts, answers, say), progress
        )

    def _sit(
        self,
        prompts: Sequence[Prompt],
        ask: Callable[[Judge, Progress], Sequence[Verdict]],
        progress: Progress,
    ) -> list[Verdict]:
        by_prompt: dict[str, list[Verdict]] = {prompt.id: [] for prompt in prompts}
        for judge in self._judges:
            for verdict in ask(judge, named(progress, judge.name)):
                by_prompt[verdict.prompt].append(verdict)
        groups = by_prompt.values()
        if self._keep == "all":
            return [verdict for verdicts in groups for verdict in verdicts]
        return [self._majority(group) for verdicts in groups for group in _by_order(verdicts)]

    def _majority(self, verdicts: Sequence[Verdict]) -> Verdict:
        """Sum up the verdicts on one prompt in one order."""
        votes = {verdict.judge: verdict.outcome for verdict in verdicts}
        if len(votes) < len(verdicts):
            raise SpecError(
                f"panel: the prompt {verdicts[0].prompt!r} has two verdicts of one judge "
                f"({verdicts[0].judge}). Every person needs a name of their own in `judge`, and "
                "a model that sits twice, another rubric for each axis."
            )
        outcome, reason = _decide(votes)
        summary = {"judge": self.name, "outcome": outcome, "reason": reason, "votes": votes}
        return verdicts[0].model_copy(update={**summary, "notes": {}})


class _Marked:
    """A judge under a longer name: the same model asked in another way is another judge."""

    def __init__(self, judge: Judge, mark: str) -> None:
        self._judge = judge
        self._mark = mark
        self.name = f"{judge.name} #{mark}"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        return self._signed(self._judge.compare(prompts, answers, base_answers, progress))

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        return self._signed(self._judge.classify(axis, prompts, answers, progress))

    def _signed(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        return [v.model_copy(update={"judge": f"{v.judge} #{self._mark}"}) for v in verdicts]


def _told_apart(judges: Sequence[Judge], marks: Sequence[str]) -> list[Judge]:
    """Mark the judges that share a name; those with the same mark are the same judge."""
    count = Counter(judge.name for judge in judges)
    return [
        _Marked(judge, mark) if count[judge.name] > 1 else judge
        for judge, mark in zip(judges, marks, strict=True)
    ]


def _by_order(verdicts: Sequence[Verdict]) -> Iterable[list[Verdict]]:
    """Group verdicts by order; one without an order counts in both."""
    if all(verdict.order is None for verdict in verdicts):
        return [list(verdicts)]
    return [
        [v.model_copy(update={"order": order}) for v in verdicts if v.order in (order, None)]
        for order in _ORDERS
    ]


def _decide(votes: Mapping[str, Outcome]) -> tuple[Outcome, str]:
    """Return what more than half of the votes say, or that nothing is."""
    said = "; ".join(f"{judge}: {outcome}" for judge, outcome in votes.items())
    # A call that failed is asked again by the next run, and so is the panel's verdict.
    if "error" in votes.values():
        return "error", said
    outcome, count = Counter(votes.values()).most_common(1)[0]
    if outcome in MISSING or 2 * count <= len(votes):
        return "unreadable", f"no majority: {said}"
    return outcome, said
