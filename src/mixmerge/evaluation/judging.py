"""From answers to verdicts, for one model on one axis."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.files import write_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Judge, Prompt, Response, Verdict


def judge(
    axis: Axis,
    prompts: Sequence[Prompt],
    answers: Sequence[Response],
    *,
    by: Judge,
    out: Path,
    base_answers: Sequence[Response] = (),
    progress: Progress = silent,
) -> list[Verdict]:
    """Judge a model's answers and write the verdicts as JSON Lines.

    Args:
        axis: what is judged.
        prompts: the prompts of the axis.
        answers: the model's answers, in any order.
        by: the judge.
        out: the file to write.
        base_answers: the base model's answers, for the axis ``general``.
        progress: hears of the judge's progress.

    Returns:
        The verdicts, in the order of the prompts.

    Raises:
        DataError: a prompt has no answer, or an answer no prompt.
    """
    own = _by_prompt(prompts, answers, "the model's answers")
    if axis == "general":
        base = _by_prompt(prompts, base_answers, "the base model's answers")
        verdicts = by.compare(prompts, own, base, progress)
    else:
        verdicts = by.classify(axis, prompts, own, progress)
    judged = list(dict.fromkeys(verdict.prompt for verdict in verdicts))
    if judged != [prompt.id for prompt in prompts]:
        raise RuntimeError(f"the judge {by.name} did not return its verdicts prompt by prompt")
    write_rows(out, verdicts)
    return verdicts


def _by_prompt(prompts: Sequence[Prompt], answers: Sequence[Response], what: str) -> list[Response]:
    """Return the answers in the order of the prompts."""
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
