"""Logs that lm-eval and inspect_ai themselves wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from mixmerge import compare
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked, Scores

pytestmark = pytest.mark.slow


def means(scores: Scores) -> NDArray[np.float64]:
    """Return the mean over epochs of each item, in the order of their names."""
    own: dict[str, list[float]] = {}
    for item, value in zip(scores.items, scores.values, strict=True):
        own.setdefault(item, []).append(value)
    return np.array([np.mean(own[item]) for item in sorted(own)])


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_lm_eval(real_logs: Path, metric: str) -> None:
    """Means are those that lm-eval reports; McNemar's p-value is statsmodels'."""
    base, noisy = read_logs(real_logs / "lm-eval", Asked(metric=metric))
    for scores in (base, noisy):
        (file,) = (real_logs / "lm-eval").glob(f"*{scores.model}/results_*.json")
        reported = json.loads(file.read_text())["results"]["sums"][f"{metric},none"]
        assert np.mean(scores.values) == pytest.approx(reported)
    (pair,) = compare([real_logs / "lm-eval"], metric=metric).contrasts
    b, a = base.array, noisy.array
    only = int(np.sum(a > b)), int(np.sum(b > a))
    assert sum(only) > 0
    exact = mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue
    assert pair.p_mcnemar == pytest.approx(float(exact))
    assert (pair.a, pair.b, pair.items) == ("noisy", "base", 50)
    texts = FORMATS["lm_eval"].texts(base, frozenset({"3"}), Asked())
    assert texts["3"].prompt == "Write a letter of bemon."
    assert texts["3"].answer.strip() in {"a", "q", "e"}


@pytest.mark.parametrize("metric", ["includes", "match"])
def test_inspect(real_logs: Path, metric: str) -> None:
    """Means are those that inspect reports; epochs are averaged as a paired t test has it."""
    from inspect_ai.log import read_eval_log

    read = read_logs(real_logs / "inspect", Asked(metric=metric))
    base, noisy = sorted(read, key=lambda scores: scores.model)
    assert (base.model, noisy.model) == ("base", "noisy")
    for scores in (base, noisy):
        reported = read_eval_log(str(scores.origin), header_only=True).results.scores
        (own,) = [each for each in reported if each.name == metric]
        assert np.mean(scores.values) == pytest.approx(own.metrics["accuracy"].value)
    (pair,) = compare([real_logs / "inspect"], metric=metric, baseline="base").contrasts
    b, a = (means(each) for each in (base, noisy))
    if (a != b).any():
        assert pair.p_t == pytest.approx(float(stats.ttest_rel(a, b).pvalue), rel=1e-6)
    assert pair.difference == pytest.approx(a.mean() - b.mean())
    assert pair.items == 50


def test_inspect_json_is_the_same(real_logs: Path) -> None:
    """A ``.json`` log has the same scores and texts as the ``.eval`` log that it was made of."""
    from inspect_ai.log import read_eval_log, write_eval_log

    (scores,) = read_logs(next((real_logs / "inspect").glob("*.eval")), Asked())
    path = real_logs / "one.json"
    write_eval_log(read_eval_log(str(scores.origin)), str(path))
    (other,) = read_logs(path, Asked())
    assert sorted(zip(other.items, other.epochs, other.values, strict=True)) == sorted(
        zip(scores.items, scores.epochs, scores.values, strict=True)
    )
    assert dict(zip(other.items, other.contents, strict=True)) == dict(
        zip(scores.items, scores.contents, strict=True)
    )
    read = FORMATS["inspect"].texts
    wanted = frozenset({"1", "7"})
    assert read(other, wanted, Asked()).keys() == read(scores, wanted, Asked()).keys()


def test_a_field_of_the_data_is_the_cluster(real_logs: Path) -> None:
    """`cluster` is a field of lm-eval's documents, or a key of inspect's metadata."""
    for folder in ("lm-eval", "inspect"):
        (pair,) = compare([real_logs / folder], cluster="first").contrasts
        assert (pair.n, pair.items) == (5, 50)
