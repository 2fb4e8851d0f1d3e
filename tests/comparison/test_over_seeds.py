"""`compare --seeds`: what holds for new training seeds, not only for the trained models."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from tests.logs.made import write_inspect, write_lm_eval

from mixmerge import compare
from mixmerge.comparison.terminal import summary, tables
from mixmerge.errors import DataError, SampleError
from mixmerge.stats.bootstrap import Floats

ITEMS = 60


def scores(rng: np.random.Generator, seeds: int, gain: float, luck: float = 0.15) -> Floats:
    """Yes-or-no scores of trainings that differ by luck, shape (seeds, items)."""
    hard = np.random.default_rng(7).random(ITEMS)
    skill = 0.5 + gain + rng.normal(0, luck, (seeds, 1)) + rng.normal(0, 0.2, (seeds, ITEMS))
    return (skill > hard).astype(float)


def write_table(path: Path, models: Mapping[str, Floats]) -> Path:
    """Write a table with a row for each model, seed and item."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["item", "model", "seed", "score", "language"])
        for model, rows in models.items():
            for seed, row in enumerate(rows):
                for item, score in enumerate(row):
                    table.writerow([item, model, seed, score, "en" if item % 2 else "fr"])
    return path


def test_the_interval_is_that_of_the_analysis_of_variance(tmp_path: Path) -> None:
    """Difference, interval and p-value follow from statsmodels' mean squares of seeds and items."""
    from scipy.stats import t
    from statsmodels.regression.linear_model import OLS

    rng = np.random.default_rng(1)
    a, b = scores(rng, 4, 0.2), scores(rng, 4, 0.0)
    path = write_table(tmp_path / "s.csv", {"b": b, "a": a})
    (pair,) = compare([path], seeds=True).contrasts

    seed, item = np.indices(a.shape).reshape(2, -1)
    difference_of = (a - b).ravel()
    one, seeds, items = np.ones((a.size, 1)), np.eye(4)[seed][:, 1:], np.eye(ITEMS)[item][:, 1:]

    def left(*design: Floats) -> float:
        return float(OLS(difference_of, np.hstack(design)).fit().ssr)

    both = left(one, seeds, items)
    ms_seed = (left(one, items) - both) / 3
    ms_item = (left(one, seeds) - both) / (ITEMS - 1)
    ms_both = both / (3 * (ITEMS - 1))
    combined = ms_seed + ms_item - ms_both
    error = np.sqrt(combined / a.size)
    freedom = combined**2 / (
        ms_seed**2 / 3 + ms_item**2 / (ITEMS - 1) + ms_both**2 / (3 * (ITEMS - 1))
    )
    difference = (a - b).mean()
    half = t.ppf(0.975, freedom) * error
    assert pair.difference == pytest.approx(difference)
    assert pair.ci == pytest.approx((difference - half, difference + half))
    assert pair.p == pytest.approx(2 * t.sf(abs(difference) / error, freedom))
    assert pair.by_seed == pytest.approx((a - b).mean(axis=1))
    assert (pair.value_a, pair.value_b) == pytest.approx((a.mean(), b.mean()))


def test_luck_of_the_seeds_is_not_taken_for_a_difference(tmp_path: Path) -> None:
    """One lucky training of three makes a difference between the models, not between recipes."""
    low = np.tile((np.random.default_rng(7).random(200) < 0.5).astype(float), (3, 1))
    high = low.copy()
    high[0, low[0] == 0] = 1.0  # one lucky training answers everything
    path = write_table(tmp_path / "s.csv", {"b": low, "a": high})
    (models,), (recipes,) = (compare([path], seeds=seeds).contrasts for seeds in (False, True))
    assert models.verdict == "better"
    assert recipes.verdict == "undecided"
    assert recipes.by_seed[1:] == (0, 0)


def test_logs_of_one_model_are_its_seeds(tmp_path: Path) -> None:
    """Runs of the same models, and names given twice, are seeds; a model with one is kept."""
    rng = np.random.default_rng(2)
    a, b = scores(rng, 3, 0.3), scores(rng, 3, 0.0)
    for seed in range(3):
        for model, values in (("b", b), ("a", a)):
            write_lm_eval(tmp_path / f"s{seed}", model, {"sums": values[seed].astype(int).tolist()})
    runs = [tmp_path / f"s{seed}" for seed in range(3)]
    (pair,) = compare(runs, seeds=True, baseline="b").contrasts
    assert (pair.a, pair.b, len(pair.by_seed)) == ("a", "b", 3)

    named = [f"{name}={run / name}" for run in runs for name in ("a", "b")]
    assert compare(named, seeds=True, baseline="b").contrasts == (pair,)

    once = [name for name in named if not name.startswith("b=")] + [named[1]]
    (fixed,) = compare(once, seeds=True, baseline="b").contrasts
    assert fixed.by_seed == pytest.approx((a - b[:1]).mean(axis=1))


def test_epochs_of_a_seed_are_averaged_first(tmp_path: Path) -> None:
    """Answers sampled twice from one training are no second training."""
    marks = np.where(scores(np.random.default_rng(3), 4, 0.1, 0.3) > 0, "C", "I")
    for seed, row in enumerate(marks):
        grades = [grade for first, second in zip(row, row[::-1], strict=True)
                  for grade in (first, second)]  # fmt: skip
        write_inspect(tmp_path / f"a{seed}.eval", {"m": grades}, epochs=2, model="x/a")
        plain = ["C" if place % 3 else "I" for place in range(2 * len(row))]
        write_inspect(tmp_path / f"b{seed}.eval", {"m": plain}, epochs=2, model="x/b")
    runs = [f"{name}={tmp_path}/{name}{seed}.eval" for name in "ba" for seed in range(4)]
    found = compare(runs, seeds=True)
    (pair,) = found.contrasts
    assert (len(pair.by_seed), pair.items) == (4, ITEMS)
    assert found.models["a"]["sums"].epochs == 8


def test_what_a_reader_sees(tmp_path: Path) -> None:
    """The number of seeds, the difference of each, and the seeds or items that would be enough."""
    rng = np.random.default_rng(6)
    path = write_table(
        tmp_path / "s.csv", {"b": scores(rng, 3, 0.0), "a": scores(rng, 3, 0.12, 0.05)}
    )
    found = compare([path], seeds=True)
    (pair,) = found.contrasts
    (table,) = tables(found)
    assert str(table.title).endswith("; 3 training seeds")
    (line,) = summary(found)
    assert "By seed: " in line
    assert pair.detectable is not None
    assert pair.detectable > abs(pair.difference)
    assert set(pair.by_language) == {"en", "fr"}
    plain = compare([path])
    assert any("--seeds allows for other seeds" in note for note in plain.notes)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 1), r"at least two trainings of a model are required \(seen: 1 of each\)"),
        ((2, 3), r"as many seeds of every model are required.*seen: 2 of b, 3 of others"),
    ],
)
def test_seeds_that_do_not_fit(tmp_path: Path, counts: tuple[int, int], message: str) -> None:
    """One seed shows nothing of the luck of training, and seeds are compared in pairs."""
    rng = np.random.default_rng(5)
    models = {name: scores(rng, n, 0.0) for name, n in zip("ba", counts, strict=True)}
    with pytest.raises(DataError, match=message):
        compare([write_table(tmp_path / "s.csv", models)], seeds=True)


def test_too_few_items(tmp_path: Path) -> None:
    """Nine items are too few, whatever the number of seeds."""
    rows = scores(np.random.default_rng(5), 3, 0.0)[:, :9]
    with pytest.raises(SampleError, match=r"9 independent prompts .* at least 10"):
        compare([write_table(tmp_path / "s.csv", {"b": rows, "a": 1 - rows})], seeds=True)


def test_one_seed_given_twice(tmp_path: Path) -> None:
    """Two logs that say the same seed are not two trainings."""
    rng = np.random.default_rng(5)
    paths = [
        write_table(tmp_path / name, {"b": scores(rng, 2, 0.0), "a": scores(rng, 2, 0.1)})
        for name in ("x.csv", "y.csv")
    ]
    with pytest.raises(DataError, match=r"b has the seed 0 in both"):
        compare(paths, seeds=True)
