"""Do measurements before a merge say what it keeps?"""

import numpy as np
import pytest
from paper.forecasts import METHODS, Pair, error, kept, list_of, table
from paper.scores import AxisTable, Scores


def scores(**rates: tuple[float, float]) -> Scores:
    """Scores of ten prompts on each axis with these rates: (win rate, harm rate)."""
    place = np.arange(10)
    language = np.full(10, "en")
    axes = {}
    for number, axis in enumerate(("general", "safety")):
        own = {
            name: np.where(place < round(10 * both[number]), 1.0, 0.0)[None]
            for name, both in rates.items()
        }
        axes[axis] = AxisTable(place, language, own)
    return Scores(axes)


def test_kept_is_the_share_of_each_experts_own_gain() -> None:
    """Half of the win rate's gain and all of the harm's are three quarters; losses are negative."""
    found = scores(
        base=(0.5, 0.8), **{"sft-0": (0.9, 0.6), "safe": (0.6, 0.3), "merge": (0.7, 0.3)}
    )
    assert kept(found, "safe", "merge") == pytest.approx((0.5 + 1.0) / 2)
    worse = scores(
        base=(0.5, 0.8), **{"sft-0": (0.9, 0.6), "safe": (0.6, 0.3), "merge": (0.3, 0.8)}
    )
    assert kept(worse, "safe", "merge") == pytest.approx((-0.5 + 0.0) / 2)


def test_errors_are_those_of_groups_left_out() -> None:
    """As statsmodels' least squares without the group predict them; without a measure, the mean."""
    import statsmodels.api as sm

    draw = np.random.default_rng(0)
    x = draw.standard_normal(20)
    y = 0.3 * x + draw.standard_normal(20)
    group = np.repeat(np.arange(4.0), [3, 9, 2, 6])
    for measure in (x, np.zeros(20)):
        wanted = np.empty(20)
        columns = np.stack([np.ones(20), x], axis=1) if measure is x else np.ones((20, 1))
        for left_out in range(4):
            inside = group != left_out
            fitted = sm.OLS(y[inside], columns[inside]).fit()
            wanted[~inside] = fitted.predict(columns[~inside])
        assert error(measure, y, group) == pytest.approx(np.abs(wanted - y).mean())


def test_a_measure_that_tells_all_has_no_error() -> None:
    """One that is the outcome has rank correlation 1 and no error; the table has every measure."""
    pairs = [
        Pair("aligned", seed, {**dict.fromkeys(MEASURED, float(place % 2)), "kl": 0.1 * place},
             dict.fromkeys(METHODS, 0.2 * place))
        for place, seed in enumerate([0, 0, 1, 1, 2, 2])
    ]  # fmt: skip
    lines = table(pairs).splitlines()
    assert len(lines) == 3 + len(MEASURED)
    (told,) = (line for line in lines if line.startswith("| KL |"))
    assert told == "| KL | +1.00 | 0.000 | +1.00 | 0.000 |"
    assert len(list_of(pairs).splitlines()) == 2 + 6


MEASURED = ("cosine", "opposed", "cancelled", "kl", "same_token", "cka", "change_cosine")
