"""Judge a model's answers on one axis, and check that verdicts belong to prompts and answers."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mixmerge.errors import DataError, ResourceError
from mixmerge.files import write_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import (
    MISSING,
    Axis,
    Item,
    Judge,
    Prompt,
    Question,
    Response,
    RowModel,
    Verdict,
)


def judge(
    question: Question,
    prompts: Sequence[Prompt],
    answers: Sequence[Response],
    *,
    by: Judge,
    out: Path,
    base_answers: Sequence[Response] = (),
    progress: Progress = silent,
) -> list[Verdict]:
    """Judge a model's answers, in any order, and write the verdicts as JSON Lines.

    Raises:
        SpecError: the judge cannot answer such a question.
        DataError: a prompt has no answer or an answer no prompt, a grade is out of bounds, or no
            reply of the judge has a verdict.
    """
    verdicts = by.judge(items(question, prompts, answers, base_answers), question, progress)
    judged = list(dict.fromkeys(verdict.prompt for verdict in verdicts))
    if judged != [prompt.id for prompt in prompts]:
        raise RuntimeError(f"the judge {by.name} did not return its verdicts prompt by prompt")
    for verdict in verdicts:
        if verdict.outcome != "error" and (problem := misfit(verdict, question)):
            raise DataError(f"{question.axis}, prompt {verdict.prompt!r}, {by.name}: {problem}.")
    _check_use(verdicts, question, by.name)
    write_rows(out, verdicts)
    return verdicts


def _check_use(verdicts: Sequence[Verdict], question: Question, judge: str) -> None:
    """Check that there is any verdict; the caller reports failed calls."""
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    if verdicts and not outcomes.keys() - (MISSING - {"error"}):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        raise DataError(
            f"{question.axis}: no reply of the judge {judge} has a verdict ({counts}). The first "
            f"was {_short(verdicts[0].reason, 300)}. Change the judge, its `rubric` or its limits."
        )


def items(
    question: Question,
    prompts: Sequence[Prompt],
    answers: Sequence[Response],
    base_answers: Sequence[Response] = (),
) -> list[Item]:
    """Pair prompts with answers and, for comparisons, with the base model's.

    Raises:
        DataError: a prompt has no answer, or an answer no prompt.
    """
    own = _by_prompt(prompts, answers, "the model's answers")
    if question.asks != "comparison":
        return [Item(prompt, answer) for prompt, answer in zip(prompts, own, strict=True)]
    base = _by_prompt(prompts, base_answers, "the base model's answers")
    return [Item(*row) for row in zip(prompts, own, base, strict=True)]


def require_answers(axis: Axis, verdicts: Sequence[Verdict], calls: str = "judge calls") -> None:
    """Check that no call to a judge failed; successful calls are in its journal.

    Raises:
        ResourceError: a call failed.
    """
    failed = [verdict for verdict in verdicts if verdict.outcome == "error"]
    if failed:
        raise ResourceError(
            f"{axis}: {len(failed)} of {len(verdicts)} {calls} failed ({failed[0].reason}). "
            "Run the same command again to repeat only these."
        )


def misfit(verdict: Verdict, question: Question) -> str | None:
    """Return why a verdict does not answer a question; None if it does."""
    allowed = {*question.outcomes, *(MISSING - {"error"})}
    if verdict.axis != question.axis or verdict.outcome not in allowed:
        return (
            f"a verdict on {question.axis} is one of {', '.join(sorted(allowed))} "
            f"(seen: {verdict.axis}, {verdict.outcome})"
        )
    low, high = question.bounds
    if verdict.score is not None and not low <= verdict.score <= high:
        return f"a grade on {question.axis} is within {low:g} and {high:g} (seen: {verdict.score})"
    return None


def _by_prompt(prompts: Sequence[Prompt], answers: Sequence[Response], what: str) -> list[Response]:
    count = Counter(answer.prompt for answer in answers)
    for prompt in prompts:
        if count.pop(prompt.id, 0) != 1:
            raise DataError(
                f"{what}: the prompt {prompt.id!r} needs exactly one answer. "
                "Generate the answers again from the same prompts."
            )
    if count:
        raise DataError(f"{what}: {next(iter(count))!r} is not the id of any prompt.")
    by_id = {answer.prompt: answer for answer in answers}
    return [by_id[prompt.id] for prompt in prompts]


class JudgedTexts(RowModel):
    """The texts that a person judged, if the annotation tool kept them."""

    answer: str | None = None
    """The model's; None: not kept."""
    base_answer: str | None = None
    """The base model's, in a comparison; None: not kept."""

    def require(self, where: str, answer: str, base_answer: str | None) -> None:
        """Check that the person judged these answers.

        Raises:
            DataError: a text was kept and differs.
        """
        for whose, judged, now in (
            ("model", self.answer, answer),
            ("base model", self.base_answer, base_answer),
        ):
            if judged is not None and now is not None and judged != now:
                raise DataError(
                    f"{where}: given for another answer of the {whose}. The person judged "
                    f"{_short(judged)}; the {whose} answers {_short(now)}. Have the new answers "
                    "judged, or remove these rows."
                )


def _short(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else text[: most - 1] + "…")
