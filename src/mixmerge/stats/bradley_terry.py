"""Strengths of models from comparisons in pairs (Bradley and Terry 1952), a tie counting one half.

Strengths are natural logarithms: a model beats another with probability
``sigmoid(strength - strength of the other)``. Only verdicts that exist count. If every model was
compared with the base model and with nothing else, a strength is the log-odds of the win rate
against the base, and what it says about two other models is the model's guess, not a verdict.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Floats

_TOLERANCE = 1e-10
_STEPS = 10_000
_TINY = 1e-300


def win_matrix(
    first: NDArray[np.intp], second: NDArray[np.intp], scores: Floats, models: int
) -> Floats:
    """Count wins from verdicts.

    Args:
        first: a model of each verdict, integers below ``models``, shape (verdicts,).
        second: the model it was compared with, same shape.
        scores: seen from the first: win 1, tie 1/2, loss 0; NaN where missing; same shape.
        models: number of models.

    Returns:
        Wins of the row's model over the column's, shape (models, models); with its transpose it
        sums to the number of verdicts of each pair.
    """
    seen = ~np.isnan(scores)
    wins = np.zeros((models, models))
    np.add.at(wins, (first[seen], second[seen]), scores[seen])
    np.add.at(wins, (second[seen], first[seen]), 1 - scores[seen])
    return wins


def win_rates(wins: Floats) -> Floats:
    """Return the share of wins of the row's model over the column's; NaN where none was judged."""
    judged = wins + np.swapaxes(wins, -1, -2)
    rates = np.full_like(wins, np.nan)
    np.divide(wins, judged, out=rates, where=judged > 0)
    return rates


def bradley_terry(wins: Floats, names: Sequence[str], base: int = 0) -> Floats:
    """Return the most likely strengths, by Newman's iteration (2023).

    Args:
        wins: from `win_matrix`, shape (models, models), or (..., models, models) for many
            bootstrap draws at once.
        names: of the models, for messages.
        base: the model whose strength is zero.

    Returns:
        Shape (..., models). In a draw in which some models never won or never lost, strengths
        run towards infinity and end as large numbers.

    Raises:
        SampleError: no chain of wins leads from some model to some other in the first (or only)
            set of verdicts, so that the strength has no finite value.
    """
    _require_connected(wins.reshape(-1, *wins.shape[-2:])[0], names)
    weight = np.ones_like(wins[..., 0])
    for _ in range(_STEPS):
        before = np.log(weight)
        # One model at a time: updating all at once oscillates.
        for model in range(len(names)):
            together = weight[..., model, None] + weight
            won = (wins[..., model, :] * weight / together).sum(axis=-1)
            lost = (wins[..., :, model] / together).sum(axis=-1)
            weight[..., model] = np.maximum(won, _TINY) / np.maximum(lost, _TINY)
        weight /= weight[..., base, None]
        if np.abs(np.log(weight) - before).max() < _TOLERANCE:
            break
    strengths: Floats = np.log(weight)
    return strengths


def implied_win_rates(strengths: Floats) -> Floats:
    """Return how often the row's model would beat the column's if the strengths were true."""
    rates: Floats = expit(strengths[..., :, None] - strengths[..., None, :])
    return rates


def _require_connected(wins: Floats, names: Sequence[str]) -> None:
    groups, group = connected_components(wins > 0, directed=True, connection="strong")
    if groups > 1:
        apart = [name for name, own in zip(names, group, strict=True) if own != group[0]]
        raise SampleError(
            f"Strengths need a chain of wins from every model to every other; between {names[0]} "
            f"and {', '.join(apart)} there is none, in one direction or both. Judge more pairs."
        )
