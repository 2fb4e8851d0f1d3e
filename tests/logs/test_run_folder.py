"""Reading the verdicts of a run folder."""

import json
from pathlib import Path

import pytest

from mixmerge.errors import DataError
from mixmerge.files import write_rows
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked
from mixmerge.records import Message, Prompt, Response, Verdict
from mixmerge.records.rows import Outcome


def write_run(run: Path, model: str, outcomes: list[Outcome], axis: str = "safe") -> None:
    rows = [
        Verdict(
            prompt=f"p{n}", cluster=f"c{n // 2}", language="en", axis=axis, judge="rules@1",
            outcome=outcome, score=7 if outcome == "graded" else None,
        )
        for n, outcome in enumerate(outcomes)
    ]  # fmt: skip
    folder = run / "judge" / f"{model}-12345678"
    write_rows(folder / f"{axis}.jsonl", rows)
    (folder / "record.json").write_text(json.dumps({"name": model, "started": "2026-11-30"}))
    info = {"bounds": [0, 10], "better": "lower", "title": "harm"}
    run.joinpath("results.json").write_text(
        json.dumps({"schema": 2, "study": "s", "axes": {axis: info}})
    )
    message = Message(role="user", content="Hello?")
    prompts = [
        Prompt(id=row.prompt, cluster=row.cluster, language="en", messages=(message,))
        for row in rows
    ]
    write_rows(run / "prompts" / f"{axis}-1" / "rows.jsonl", prompts)
    answers = [
        Response(prompt=row.prompt, text=f"{model} {row.prompt}", finish_reason="stop", tokens=2)
        for row in rows
    ]
    write_rows(run / "generate" / f"{model}-1" / f"{axis}.jsonl", answers)


@pytest.mark.parametrize("what", ["", "results.json"])
def test_scores_of_a_run(tmp_path: Path, what: str) -> None:
    """Outcomes become scores between the axis's bounds, with clusters and direction."""
    write_run(tmp_path, "mixed", ["yes", "no", "graded", "error"])
    write_run(tmp_path, "base", ["no", "no", "no", "no"])
    base, mixed = read_logs(tmp_path / what, Asked())
    assert (mixed.model, mixed.task, mixed.metric) == ("mixed", "safe", "harm")
    assert mixed.values[:3] == [10, 0, 7]
    assert mixed.values[3] != mixed.values[3]
    assert (mixed.clusters, mixed.better) == (["c0", "c0", "c1", "c1"], "lower")
    assert (base.values, base.bounds) == ([0, 0, 0, 0], (0, 10))
    texts = FORMATS["mixmerge"].texts(mixed, frozenset({"p1"}), Asked())
    assert texts == {"p1": ("Hello?", "mixed p1", "")}


def test_one_file_of_verdicts(tmp_path: Path) -> None:
    """Verdict rows anywhere are read; what their axis is like is then unknown."""
    write_run(tmp_path / "run", "mixed", ["win", "tie", "loss"])
    rows = next((tmp_path / "run" / "judge").rglob("safe.jsonl"))
    alone = tmp_path / "mine" / "safe.jsonl"
    alone.parent.mkdir()
    alone.write_bytes(rows.read_bytes())
    (scores,) = read_logs(alone, Asked())
    assert (scores.model, scores.values, scores.better) == ("mine", [1, 0.5, 0], None)


def test_results_without_verdicts(tmp_path: Path) -> None:
    """`results.json` outside its run folder is refused."""
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"schema": 2, "study": "s", "axes": {}}))
    with pytest.raises(DataError, match=r"no verdicts beside it.*Keep results\.json"):
        read_logs(path, Asked())
