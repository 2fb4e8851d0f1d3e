"""Axes that a harness or a log scores: what a study file may say of them."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.sources import SOURCES, ScoredAxis
from mixmerge.evaluation.spec import AnyAxis, AxisSpec

AXES: TypeAdapter[Any] = TypeAdapter(AnyAxis)


def axis(**keys: Any) -> Any:
    """Read an axis as a study file has it."""
    return AXES.validate_python(keys)


@pytest.mark.parametrize(
    ("key", "source"),
    [
        ("lm_eval", {"task": "mmlu", "num_fewshot": 5, "limit": 100}),
        ("inspect", {"task": "tasks/sums.py@sums", "config": {"temperature": 0}}),
        ("log", {"lm_eval": "results", "models": {"mixed": "org/mixed"}}),
    ],
)
def test_a_source_is_told_apart_by_its_key(key: str, source: dict[str, Any]) -> None:
    """A source stands in place of prompts and judge; grades from 0 to 1 are the default."""
    read = axis(**{key: source})
    assert isinstance(read, ScoredAxis)
    assert type(read) is SOURCES[key]
    assert (read.measure, read.better) == (Mean(), None)
    judged = axis(prompts={"testbed": "general"}, judge={"rules": "testbed"}, measure="win_rate")
    assert isinstance(judged, AxisSpec)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"measure": "mean"}, "a kind of axis has one of the keys `prompts`, `judge`, `lm_eval`"),
        ({"lm_eval": {"task": "mmlu"}, "measure": "win_rate"}, "`lm_eval` has a score for each"),
        ({"lm_eval": {"task": "mmlu", "shots": 5}}, "shots\n +Extra inputs are not permitted"),
        ({"lm_eval": {}}, "task\n +Field required"),
        ({"lm_eval": {"task": "mmlu", "limit": 0}}, "greater than or equal to 1"),
        ({"lm_eval": {"task": "mmlu"}, "judge": "exact_match"}, "judge"),
        ({"log": {}}, r"give the logs' folder under one of .*`lm_eval`.* \(seen: none\)"),
        ({"log": {"lm_eval": "a", "inspect": "b"}}, "seen: `lm_eval`, `inspect`"),
        ({"lm_eval": {"task": "t"}, "margin": 1}, "`margin` must be less than the range"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], message: str) -> None:
    """When the study is read; one message each."""
    with pytest.raises(ValidationError, match=message):
        axis(**keys)


def test_the_identity_of_a_task_has_no_paths(tmp_path: Path) -> None:
    """Two folders with the same files are one task; files count by content, under their role."""
    found = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        task = {"task": f"{folder}/sums.py@sums", "files": [str(folder / "sums.jsonl")]}
        own = axis(inspect=task).source
        found.append(own.identity())
        assert own.paths() == {"file0": folder / "sums.jsonl", "task.py": folder / "sums.py"}
        own = axis(lm_eval={"task": "sums", "include_path": str(folder)}).source
        assert own.paths() == {"include_path": folder}
        assert str(tmp_path) not in str(own.identity())
    assert found[0] == found[1]
    assert found[0]["task"] == "sums"


@pytest.mark.parametrize(("key", "package"), [("lm_eval", "lm_eval"), ("inspect", "inspect_ai")])
def test_the_identity_of_a_task_has_the_versions(
    key: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the harness, and of the package whose task it is: another version runs it again."""
    source = axis(**{key: {"task": "inspect_evals/gsm8k"}}).source
    assert source.requires() == (package,)
    versions = {package: "1.0", "inspect_evals": "7"}
    monkeypatch.setattr("importlib.metadata.version", versions.__getitem__)
    before = source.identity()
    assert before["version"] == "1.0"
    versions[package] = "1.1"
    assert source.identity() != before


def test_the_metric_is_no_part_of_what_runs() -> None:
    """Another metric, cluster or language is read from the same log."""
    asked = {"task": "mmlu", "num_fewshot": 5}
    reading = {"metric": "acc_norm", "fields": {"cluster": "subject"}, "language": "en"}
    plain, changed = axis(lm_eval=asked).source, axis(lm_eval=asked | reading).source
    assert plain.identity() == changed.identity()
    assert plain.reading() != changed.reading()
    assert plain.identity() != axis(lm_eval=asked | {"num_fewshot": 0}).source.identity()
