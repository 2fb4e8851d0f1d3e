"""Turn the scores in a log into verdicts, and its texts into prompts and answers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.judging import misfit
from mixmerge.evaluation.measures import Measure
from mixmerge.evaluation.sources.source import SourceSpec
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked, Scores, Text, plain
from mixmerge.records import Axis, Message, Prompt, Response, Verdict
from mixmerge.spec_model import quoted


def read(source: SourceSpec, place: Path) -> list[Scores]:
    """Read the scores of all models and tasks in a log that a source asks for.

    Raises:
        DataError: there is no log, or it is wrong.
        ResourceError: the package that reads it is not installed.
    """
    return read_logs(place, _asked(source), source.format)


def _asked(source: SourceSpec) -> Asked:
    tasks = (source.task_name,) if source.task_name is not None else ()
    return Asked(tasks, source.metric, source.fields)


def of_model(found: Sequence[Scores], names: Sequence[str], place: Path) -> list[Scores]:
    """Return the scores of the model that has one of the names, of which the first counts most.

    A name may lack what precedes the last slash in the log, such as the library that ran the model.

    Raises:
        DataError: no model has one of the names, or two have the same.
    """
    for name in names:
        for called in (lambda model: model, lambda model: model.rpartition("/")[2]):
            own = [scores for scores in found if called(scores.model) in (name, plain(name))]
            models = sorted({scores.model for scores in own})
            if len(models) == 1:
                return own
            if models:
                raise DataError(
                    f"{place}: {quoted(models)} may both be {names[0]!r}; say which in `models: "
                    f"{{{names[0]}: NAME}}`."
                )
    raise DataError(
        f"{place} has no scores of {names[0]!r}; its models are "
        f"{quoted(sorted({scores.model for scores in found}))}. If one of them is {names[0]!r}, "
        f"say so in `models: {{{names[0]}: NAME}}`."
    )


def require_same_items(own: Sequence[Scores], base: Sequence[Scores], name: str) -> None:
    """Check that a model and the base model were scored on the same items of the same tasks.

    Raises:
        DataError: they were not; the message counts the items.
    """
    tasks, of_base = ({scores.task: scores for scores in each} for each in (own, base))
    if tasks.keys() != of_base.keys():
        raise DataError(
            f"{name} was scored on {quoted(sorted(tasks))}, the base model on "
            f"{quoted(sorted(of_base))}: name one of them as `task`, or score both on the same."
        )
    for task, scores in tasks.items():
        for problem in _differences(scores, of_base[task]):
            raise DataError(
                f"{task}: {name} and the base model were not scored on the same: {problem} "
                f"({scores.origin}; {of_base[task].origin}). Score both with the same version of "
                "the task and the same data."
            )


def _differences(own: Scores, base: Scores) -> Iterator[str]:
    for what in ("version", "metric"):
        values = getattr(own, what), getattr(base, what)
        if values[0] != values[1]:
            told = [repr(value or "unknown") for value in values]
            yield f"the {what} is {told[0]}, of the base {told[1]}"
    if {*own.items} != {*base.items}:
        common = len({*own.items} & {*base.items})
        yield f"it has {len({*own.items})} items, the base {len({*base.items})}, {common} in common"
    contents = dict(zip(own.items, own.contents, strict=False))
    of_base = dict(zip(base.items, base.contents, strict=False))
    changed = [item for item in contents.keys() & of_base if contents[item] != of_base[item]]
    if changed:
        yield (
            f"{len(changed)} of {len(contents)} items have another question or another target, "
            f"for example {min(changed)!r}"
        )


def verdicts(found: Sequence[Scores], axis: Axis, measure: Measure, language: str) -> list[Verdict]:
    """Return a verdict for each score; an item without one has no verdict (``unreadable``).

    Raises:
        DataError: a score is out of the measure's bounds, or, for a rate, neither 0 nor 1.
    """
    rows = [row for scores in found for row in _rows(scores, axis, language, len(found) > 1)]
    question = measure.question(axis)
    for place, row in enumerate(rows):
        if row.score is None:
            continue
        if measure.asks == "outcome" and row.score in (0, 1):
            said = "yes" if row.score else "no"
            rows[place] = row.model_copy(update={"outcome": said, "score": None})
        elif problem := misfit(row, question):
            hint = "give its bounds in `measure: {mean: [LOWEST, HIGHEST]}`"
            if measure.asks == "outcome":
                problem = f"a rate counts scores of 0 and 1 (seen: {row.score:g})"
            raise DataError(f"{axis}, item {row.prompt!r}, {row.judge}: {problem}; {hint}.")
    return rows


def _rows(scores: Scores, axis: Axis, language: str, several: bool) -> Iterator[Verdict]:
    version = f"@{scores.version}" if scores.version else ""
    for place, (item, value) in enumerate(zip(scores.items, scores.values, strict=True)):
        name = _id(scores, item, several)
        cluster = scores.clusters[place] if scores.clusters else item
        missing = math.isnan(value)
        yield Verdict(
            prompt=name,
            cluster=_id(scores, cluster, several),
            language=scores.languages[place] if scores.languages else language,
            category=scores.task if several else None,
            axis=axis,
            judge=f"{scores.format} {scores.task}{version} {scores.metric}",
            outcome="unreadable" if missing else "graded",
            score=None if missing else value,
            reason="the log has no score of this item" if missing else "",
        )


def _id(scores: Scores, item: str, several: bool) -> str:
    return f"{scores.task}/{item}" if several else item


def texts(
    found: Sequence[Scores], source: SourceSpec, rows: Iterable[Verdict]
) -> tuple[list[Prompt], list[Response]]:
    """Return the prompts and the model's answers, as far as the log has them."""
    known: dict[str, Text] = {}
    for scores in found:
        kept = FORMATS[scores.format].texts(scores, frozenset(scores.items), _asked(source))
        known |= {_id(scores, item, len(found) > 1): text for item, text in kept.items()}
    items = {row.prompt: row for row in rows if row.prompt in known}
    prompts = [
        Prompt(
            id=name,
            cluster=row.cluster,
            language=row.language,
            category=row.category,
            messages=(Message(role="user", content=known[name].prompt or "(empty)"),),
            accepted=(known[name].target,) if known[name].target else (),
        )
        for name, row in items.items()
    ]
    # Logs do not say in one way why an answer ended, and no measure reads it.
    answers = [
        Response(prompt=name, text=known[name].answer, finish_reason="stop", tokens=0)
        for name in items
    ]
    return prompts, answers
