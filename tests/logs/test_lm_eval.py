"""Reading the logs of lm-evaluation-harness."""

import json
import math
from pathlib import Path

import pytest
from tests.logs.made import DATE, write_lm_eval

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked


def test_scores_of_a_folder(tmp_path: Path) -> None:
    """Each model and task has its scores by item, with direction, version and digests."""
    write_lm_eval(tmp_path, "a", {"sums": [1.0, 0.0, 1.0]}, version=2.0)
    write_lm_eval(tmp_path, "b", {"sums": [0.0, 0.0, 1.0]}, better=False)
    a, b = read_logs(tmp_path, Asked())
    assert (a.model, a.task, a.metric, a.items) == ("a", "sums", "acc", ["0", "1", "2"])
    assert (a.values, a.version, a.better) == ([1.0, 0.0, 1.0], "2.0", "higher")
    assert (b.better, b.contents) == ("lower", a.contents)


@pytest.mark.parametrize(("asked", "seen"), [(None, "strict"), ("em,loose", "loose")])
def test_one_filter_of_several(tmp_path: Path, asked: str | None, seen: str) -> None:
    """The first filter is read unless another is named, and each item once."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0]}, metric="em", filters=("strict", "loose"))
    (scores,) = read_logs(path, Asked(metric=asked))
    assert (scores.metric, scores.items) == (f"em,{seen}", ["0", "1"])
    assert scores.metrics == ["em,strict", "em,loose"]


def test_a_field_of_the_documents_is_the_cluster(tmp_path: Path) -> None:
    """`cluster` and `language` name fields of lm-eval's documents."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0, 1]})
    (scores,) = read_logs(path, Asked(fields={"cluster": "topic"}))
    assert scores.clusters == ["t0", "t0", "t1"]
    with pytest.raises(DataError, match=r"no field `subject` .there are: question, topic"):
        read_logs(path, Asked(fields={"language": "subject"}))


def test_texts_are_read_for_some_items(tmp_path: Path) -> None:
    """Prompt, answer and target of the wanted items; of choices, the likeliest one."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0, 1]})
    (scores,) = read_logs(path, Asked())
    texts = FORMATS["lm_eval"].texts(scores, frozenset({"1"}), Asked())
    assert texts == {"1": ("Q: What is 1?", "a says 1", "yes")}
    choices = {
        "arguments": {n: {"arg_0": "Q", "arg_1": f" {n}"} for n in ("x", "y")},
        "resps": [[["-2.5", "False"]], [["-1.5", "True"]]],
    }
    path = write_lm_eval(tmp_path, "b", {"sums": [1]}, changes=choices)
    (scores,) = read_logs(path, Asked())
    texts = FORMATS["lm_eval"].texts(scores, frozenset({"0"}), Asked())
    assert texts["0"].answer == " y"


def test_a_group_is_read_as_one_task(tmp_path: Path) -> None:
    """Items of all tasks in a group, also in groups in it, are those of one task."""
    groups = {"mmlu": ["stem", "law"], "stem": ["maths", "physics"]}
    tasks = {"maths": [1, 0], "physics": [1], "law": [0, 0]}
    path = write_lm_eval(tmp_path, "a", tasks, groups=groups)
    (scores,) = read_logs(path, Asked(tasks=("mmlu",)))
    assert scores.task == "mmlu"
    assert scores.items == ["law/0", "law/1", "maths/0", "maths/1", "physics/0"]
    texts = FORMATS["lm_eval"].texts(scores, frozenset({"maths/1"}), Asked())
    assert texts["maths/1"].answer == "a says 1"
    every = read_logs(path, Asked())
    assert [each.task for each in every] == ["law", "maths", "physics"]
    assert "mmlu has 3 tasks; --only mmlu compares them as one" in every[0].notes


def test_the_latest_of_several_runs(tmp_path: Path) -> None:
    """Of a model's logs on one task the latest is read, and that is said."""
    write_lm_eval(tmp_path, "a", {"sums": [1, 0]})
    write_lm_eval(tmp_path, "a", {"sums": [1, 1]}, date="2026-12-01T00-00-00.000001")
    (scores,) = read_logs(tmp_path, Asked())
    assert scores.values == [1, 1]
    assert "the latest of 2 logs" in scores.notes[-1]


def test_missing_items_are_noted(tmp_path: Path) -> None:
    """A file of samples that lost lines is read, and how many it has is said."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0, 1]})
    samples = path.with_name(f"samples_sums_{DATE}.jsonl")
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:2]))
    (scores,) = read_logs(path, Asked())
    assert "has 2 items, lm-eval evaluated 3" in scores.notes[0]


def test_samples_alone(tmp_path: Path) -> None:
    """Samples without results are read, and what is unknown is said."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0]})
    path.unlink()
    (scores,) = read_logs(tmp_path, Asked())
    assert (scores.model, scores.metric, scores.better) == ("a", "acc", None)
    assert "the version of the task and which direction is better are unknown" in scores.notes[0]


def test_a_score_that_is_missing(tmp_path: Path) -> None:
    """Null and NaN are missing scores."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, None, math.nan]}, reported=1.0)
    (scores,) = read_logs(path, Asked())
    assert [math.isnan(value) for value in scores.values] == [False, True, True]


@pytest.mark.parametrize(
    ("values", "how", "said"),
    [
        ([1, 0], {"reported": 7.5}, "lm-eval reports 7.5 for `acc`.* it is not a mean"),
        ([[1, 2], [3, 4]], {}, "`acc` is computed from all items together"),
        (["good", "bad"], {}, "line 1, `acc`: a score is a number, .*seen: 'good'"),
        ([1, 0], {"changes": {"doc_id": 3}}, "the item '3' is there twice"),
        ([1, 0], {"changes": {"doc_id": None}}, "line 1: no `doc_id`"),
        ([None], {}, "no item has a score"),
    ],
)
def test_wrong_samples(
    tmp_path: Path, values: list[object], how: dict[str, object], said: str
) -> None:
    """Samples that cannot be compared item by item are one clear error."""
    path = write_lm_eval(tmp_path, "a", {"sums": values}, **how)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=said):
        read_logs(path, Asked())


def test_wrong_results(tmp_path: Path) -> None:
    """Results without samples, of another name, or with another metric are refused."""
    path = write_lm_eval(tmp_path, "a", {"sums": [1, 0]})
    with pytest.raises(DataError, match=r"there is no metric `f1` .there are: acc."):
        read_logs(path, Asked(metric="f1"))
    renamed = path.with_name("mine.json")
    renamed.write_text(path.read_text())
    with pytest.raises(DataError, match="have the date in their name"):
        read_logs(renamed, Asked())
    path.with_name(f"samples_sums_{DATE}.jsonl").unlink()
    with pytest.raises(DataError, match="Run lm-eval with --log_samples"):
        read_logs(path, Asked())
    path.write_text(json.dumps({"results": {}, "configs": 3}))
    with pytest.raises(DataError, match="not what lm-eval writes"):
        read_logs(path, Asked())


def test_tasks_of_a_group_with_other_metrics(tmp_path: Path) -> None:
    """A group whose tasks have no metric in common is refused."""
    groups = {"all": ["one", "two"]}
    path = write_lm_eval(tmp_path, "a", {"one": [1], "two": [0]}, groups=groups)
    results = json.loads(path.read_text())
    results["results"]["two"] = {"em,none": 0.0}
    path.write_text(json.dumps(results))
    samples = path.with_name(f"samples_two_{DATE}.jsonl")
    samples.write_text(samples.read_text().replace('"acc"', '"em"'))
    with pytest.raises(DataError, match=r"tasks of all have different metrics .acc, em."):
        read_logs(path, Asked(tasks=("all",)))
