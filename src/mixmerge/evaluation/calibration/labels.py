"""Labels: what people, or exact rules, say about answers."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.seen import SeenAnswers
from mixmerge.files import read_rows
from mixmerge.records import MISSING, Axis, Outcome, Prompt, Verdict

Key = tuple[str, str]
"""Model and prompt."""
Texts = Callable[[Axis, str, str], tuple[str, str]]
"""The answers of a model and of the base model, from axis, model and prompt."""

_WORDS: dict[Axis, tuple[Outcome, ...]] = {
    "general": ("loss", "tie", "win"),
    "safety": ("no", "yes"),
    "over_refusal": ("no", "yes"),
}


def outcomes(axis: Axis) -> tuple[Outcome, ...]:
    """Return the outcomes of an axis, from worst to best or from absent to present."""
    return _WORDS[axis]


class Label(SeenAnswers):
    """One person's verdict on one answer."""

    model: str
    """Whose answer."""
    axis: Axis
    prompt: str
    """`Prompt.id`."""
    outcome: Outcome
    """``win``, ``tie`` or ``loss`` against the base model's answer; ``yes`` or ``no`` elsewhere."""
    judge: str = "human"
    """Who says so."""


@dataclass(frozen=True)
class Labels:
    """The labels of one axis."""

    by: str
    """Who labelled."""
    ratings: Mapping[Key, Mapping[str, Outcome]]
    """By answer and labeller."""

    def truth(self, key: Key) -> Outcome | None:
        """Return what more than half of the labellers say; None without such a majority."""
        said = Counter(self.ratings.get(key, {}).values())
        return next((outcome for outcome, count in said.items() if 2 * count > said.total()), None)


def read_labels(
    path: Path,
    prompts: Mapping[Axis, Sequence[Prompt]],
    models: Sequence[str],
    texts: Texts | None = None,
) -> dict[Axis, Labels]:
    """Read people's labels of every axis.

    Args:
        path: rows of `Label`.
        prompts: by axis.
        models: whose answers may be labelled.
        texts: what they answer; None where they have not answered yet.

    Raises:
        DataError: a row is broken, names an unknown model or prompt, has an outcome of another
            axis, labels an answer twice for one person, or was given for another answer than
            there is now; or there is no label at all.
    """
    known = {axis: {prompt.id for prompt in rows} for axis, rows in prompts.items()}
    found: dict[Axis, dict[Key, dict[str, Outcome]]] = {axis: defaultdict(dict) for axis in prompts}
    for number, row in enumerate(read_rows(path, Label), 1):
        where = f"{path}, label {number}"
        _check(row, where, known, models)
        if texts is not None:
            row.require(where, *texts(row.axis, row.model, row.prompt))
        ratings = found[row.axis][row.model, row.prompt]
        if row.judge in ratings:
            raise DataError(
                f"{where}: {row.judge!r} has labelled the answer of {row.model!r} "
                f"to {row.prompt!r} already. Keep one of the two rows."
            )
        ratings[row.judge] = row.outcome
    if not any(found.values()):
        raise DataError(f"{path}: at least one label is required; 0 seen.")
    return {
        axis: Labels(", ".join(sorted({who for row in rated.values() for who in row})), rated)
        for axis, rated in found.items()
        if rated
    }


def _check(row: Label, where: str, known: Mapping[Axis, set[str]], models: Sequence[str]) -> None:
    if row.axis not in known:
        raise DataError(f"{where}: the axis {row.axis!r} is not evaluated.")
    if row.model not in models:
        raise DataError(f"{where}: there is no model {row.model!r}; there are {', '.join(models)}.")
    if row.prompt not in known[row.axis]:
        raise DataError(
            f"{where}: {row.prompt!r} is not the id of any prompt of the axis {row.axis}."
        )
    if row.outcome not in outcomes(row.axis):
        raise DataError(
            f"{where}: the outcome must be one of {', '.join(outcomes(row.axis))} "
            f"(seen: {row.outcome!r})."
        )


def labels_of(verdicts: Mapping[str, Sequence[Verdict]], by: str) -> Labels:
    """Return the verdicts of a judge that is always right as labels.

    Args:
        verdicts: by model.
        by: the judge's name.
    """
    merged = {
        (model, prompt): outcome
        for model, rows in verdicts.items()
        for prompt, outcome in decided(rows).items()
        if outcome is not None
    }
    return Labels(by, {key: {by: outcome} for key, outcome in merged.items()})


def decided(verdicts: Sequence[Verdict]) -> dict[str, Outcome | None]:
    """Return one outcome for each prompt, None where a verdict is missing.

    A comparison in two orders is a win or a loss if the mean of both is, else a tie. Several
    judges count alike, whether they were asked in one order or in two.
    """
    rows: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        rows[verdict.prompt][verdict.judge].append(verdict.outcome)
    return {prompt: _together(list(said.values())) for prompt, said in rows.items()}


def _together(by_judge: Sequence[Sequence[Outcome]]) -> Outcome | None:
    said = [outcome for of_one in by_judge for outcome in of_one]
    if any(outcome in MISSING for outcome in said):
        return None
    if said[0] in ("yes", "no"):
        yes = sum(outcome == "yes" for outcome in said)
        return "yes" if 2 * yes > len(said) else "no" if 2 * yes < len(said) else None
    balance = sum(
        Fraction(of_one.count("win") - of_one.count("loss"), len(of_one)) for of_one in by_judge
    )
    return "win" if balance > 0 else "loss" if balance < 0 else "tie"
