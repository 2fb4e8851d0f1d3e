"""Pairs of languages: distances of the table, and outcomes related to them."""

import numpy as np
import pytest
from paper.families import distances, markdown, outcomes, relations, require_all
from paper.scores import AxisTable, Scores

from mixmerge.errors import DataError
from mixmerge.testbed import FURTHER, LANGUAGES

ALL = (*LANGUAGES, *FURTHER)
SEEDS, QUESTIONS = 2, 40


def world(cost: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Scores:
    """Scores in which every pair loses ``cost`` of its win rate, and nothing in safety."""
    language = np.tile(np.array(ALL), QUESTIONS)
    cluster = np.repeat(np.arange(QUESTIONS), len(ALL))

    def table(rates: dict[str, float]) -> AxisTable:
        shape = (SEEDS, len(language))
        return AxisTable(cluster, language, {n: np.full(shape, x) for n, x in rates.items()})

    models = {f"sft-{each}": 0.6 for each in ALL}
    models |= {
        f"pair-{a}-{b}": 0.6 - cost[i, j] for i, a in enumerate(ALL) for j, b in enumerate(ALL[:i])
    } | {
        f"pair-{b}-{a}": 0.6 - cost[i, j] for i, a in enumerate(ALL) for j, b in enumerate(ALL[:i])
    }
    return Scores({"general": table(models), "safety": table(dict.fromkeys(models, 0.2))})


def test_distances_are_those_between_languages() -> None:
    """Every distance is symmetric, zero to oneself, within 0 and 1, and knows close relatives."""
    for matrix in distances(ALL).values():
        assert np.array_equal(matrix, matrix.T)
        assert not np.diag(matrix).any()
        assert 0 <= matrix.min() <= matrix.max() <= 1
    family = distances(("fr", "es", "hi", "zh"))["family"]
    assert family[0].tolist() == [0, 0, 0.5, 1]


def test_a_loss_that_follows_the_family_is_found() -> None:
    """Where pairs lose by their distance in family, that relation is certain and negative."""
    cost = 0.2 * distances(ALL)["family"]
    found = outcomes(world(cost), list(ALL))
    assert found["own languages"][1, 0] == pytest.approx(-cost[1, 0])
    rows = relations(world(cost), list(ALL))
    (family,) = (r for r in rows if (r.outcome, r.distance) == ("own languages", "family"))
    assert family.correlation == pytest.approx(-1)
    assert family.p < 0.01
    assert family.pairs == 45
    assert family.power["0.3"] < family.power["0.7"]
    table = markdown(rows)
    assert table.startswith("| change by merging (merge - parents), in | distance |")
    assert "| own languages | family | −1.00 | 0.0" in table


def test_an_unfinished_run_says_what_is_missing() -> None:
    """Where a pair is not judged yet, no table is made and the pair is named."""
    found = world(np.zeros((len(ALL), len(ALL))))
    require_all(found, list(ALL))
    for table in found.axes.values():
        del table.scores["pair-en-hi"]
    with pytest.raises(DataError, match=r"1 of 55 models are not judged .* `pair-en-hi`"):
        require_all(found, list(ALL))
