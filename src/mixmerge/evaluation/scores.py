"""Verdicts as numbers: one table of prompts by models for each axis."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixmerge.errors import DataError
from mixmerge.records import MISSING, Axis, Verdict
from mixmerge.stats.bootstrap import Floats

Worth = Callable[[Verdict], float]
"""What a verdict with an outcome is worth, from 0 to 1."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of every model on the prompts of one axis, from the same prompts for all."""

    axis: Axis
    prompts: list[str]
    """Their ids."""
    cluster: NDArray[np.intp]
    """Which cluster each prompt belongs to, integers from 0, shape (prompts,)."""
    language: NDArray[np.str_]
    """Shape (prompts,)."""
    scores: dict[str, Floats]
    """By model, shape (prompts,): what the verdicts are worth, from 0 to 1; NaN where there is
    none."""

    @property
    def languages(self) -> list[str]:
        """The languages, in the order in which the prompts first show them."""
        return list(dict.fromkeys(self.language.tolist()))

    def rows(self, language: str | None) -> NDArray[np.bool_]:
        """Return which prompts are of a language; of any, for None."""
        if language is None:
            return np.ones(len(self.language), dtype=np.bool_)
        return np.asarray(self.language == language)


def score_table(axis: Axis, verdicts: Mapping[str, Sequence[Verdict]], worth: Worth) -> ScoreTable:
    """Turn the verdicts of some models into one table.

    A comparison that was judged in two orders counts as the mean of both, and several judges count
    alike, whether they were asked in one order or in two. A prompt with any unreadable, refused or
    failed verdict has no score: one order alone would let the judge's preference of a place decide.

    Args:
        axis: which verdicts to expect.
        verdicts: by model.
        worth: what a verdict is worth, e.g. `Measure.worth`.

    Raises:
        DataError: a verdict is of another axis or has no worth, or the models were not judged on
            the same prompts.
    """
    by_model = {model: _by_prompt(axis, model, rows) for model, rows in verdicts.items()}
    first_model = next(iter(by_model))
    first = by_model[first_model]
    for model, by_prompt in by_model.items():
        odd = next(iter(by_prompt.keys() ^ first.keys()), None)
        if odd is not None:
            raise DataError(
                f"axis {axis}: the prompt {odd!r} was judged for only one of {first_model!r} and "
                f"{model!r}. All models need verdicts on the same prompts: judge them again."
            )
    rows = [entries[0] for entries in first.values()]
    codes = {name: code for code, name in enumerate(dict.fromkeys(row.cluster for row in rows))}
    return ScoreTable(
        axis=axis,
        prompts=list(first),
        cluster=np.array([codes[row.cluster] for row in rows], dtype=np.intp),
        language=np.array([row.language for row in rows]),
        scores={
            model: np.array([_score(by_prompt[prompt], worth) for prompt in first])
            for model, by_prompt in by_model.items()
        },
    )


def _by_prompt(axis: Axis, model: str, rows: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    grouped: dict[str, list[Verdict]] = {}
    for row in rows:
        if row.axis != axis:
            raise DataError(
                f"model {model!r}, prompt {row.prompt!r}: a verdict on {axis} is required "
                f"(seen: one on {row.axis})."
            )
        grouped.setdefault(row.prompt, []).append(row)
    return grouped


def _score(verdicts: Sequence[Verdict], worth: Worth) -> float:
    by_judge: dict[str, list[float]] = {}
    for verdict in verdicts:
        if verdict.outcome in MISSING:
            return float("nan")
        by_judge.setdefault(verdict.judge, []).append(worth(verdict))
    return sum(sum(said) / len(said) for said in by_judge.values()) / len(by_judge)
