"""Reading tables of scores."""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked

ROWS: list[dict[str, Any]] = [
    {"id": 1, "model": "a", "score": 1.0, "language": "en", "epoch": 1},
    {"id": 2, "model": "a", "score": 0.0, "language": "hi", "epoch": 1},
    {"id": 1, "model": "b", "score": 0.5, "language": "en", "epoch": 1},
]


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_with_usual_names(tmp_path: Path, suffix: str) -> None:
    """Every format gives the same scores, and says which columns were read."""
    a, b = read_logs(write_table(tmp_path / f"scores{suffix}", ROWS), Asked())
    assert (a.model, a.task, a.items, a.values) == ("a", "score", ["1", "2"], [1.0, 0.0])
    assert (a.languages, a.epochs) == (["en", "hi"], ["1", "1"])
    assert (b.model, b.items, b.values) == ("b", ["1"], [0.5])
    assert "item `id`, model `model`, score `score`, language `language`" in a.notes[0]


def test_columns_that_are_named(tmp_path: Path) -> None:
    """Options name the columns; capitals of usual names do not count."""
    rows = [{"Q": f"q{n}", "Model": "a", "points": n, "bench": "x", "book": "b1"} for n in (1, 2)]
    path = write_table(tmp_path / "scores.csv", rows)
    named = {"item": "Q", "score": "points", "task": "bench", "cluster": "book"}
    (scores,) = read_logs(path, Asked(fields=named))  # type: ignore[arg-type]
    assert (scores.model, scores.task, scores.metric) == ("a", "x", "points")
    assert (scores.items, scores.clusters) == (["q1", "q2"], ["b1", "b1"])


def test_a_table_without_models_is_one(tmp_path: Path) -> None:
    """A table without a column for the model is called by its file."""
    path = write_table(tmp_path / "tuned.csv", [{"id": "x", "correct": "True"}])
    (scores,) = read_logs(path, Asked())
    assert (scores.model, scores.task, scores.values) == ("tuned", "correct", [1.0])


def test_ids_that_became_fractions(tmp_path: Path) -> None:
    """Whole numbers that a gap in a column turned into fractions are the same ids."""
    rows: list[dict[str, Any]] = [{"id": 7.0, "score": 1.0}, {"id": 8.0, "score": None}]
    (scores,) = read_logs(write_table(tmp_path / "a.parquet", rows), Asked())
    assert scores.items == ["7", "8"]
    assert math.isnan(scores.values[1])


def test_texts(tmp_path: Path) -> None:
    """Prompt, answer and reference are found by usual names, in the rows of the model."""
    rows = [
        {"id": 1, "model": m, "task": t, "score": 1, "question": "2+2?", "response": f"{m}{t}4"}
        for m in ("a", "b")
        for t in ("x", "y")
    ]
    every = read_logs(write_table(tmp_path / "s.csv", rows), Asked())
    texts = FORMATS["table"].texts(every[2], frozenset({"1"}), Asked())
    assert (every[2].model, every[2].task) == ("b", "x")
    assert texts == {"1": ("2+2?", "bx4", "")}
    assert every[0].contents == every[2].contents


@pytest.mark.parametrize(
    ("rows", "fields", "said"),
    [
        ([{"name": "x", "score": 1}], {}, r"which column is the item\?.*there are: name, score"),
        ([{"id": "x", "points": 1}], {}, r"which column is the score\?.*Name it with --score"),
        ([{"id": "x", "score": 1}], {"item": "nr"}, r"no column `nr` \(there are: id, score\)"),
        ([{"id": "", "score": 1}], {}, r"line 2: `id` is a name or a number \(seen: ''\)"),
        ([{"id": "x", "score": "85%"}], {}, r"line 2, `score`: a score is a number.*seen: '85%'"),
        ([{"id": "x", "score": "inf"}], {}, r"`score`: a score is a number"),
        ([{"id": "x", "score": 1}] * 2, {}, r"the item 'x' is there twice.*need an epoch"),
        ([{"id": "x", "score": 1, "epoch": 2}] * 2, {}, r"the item 'x' is there twice in epoch 2"),
        ([{"id": "x", "score": ""}], {}, r"no item has a score \(1 items read\)"),
    ],
)
def test_wrong_tables(
    tmp_path: Path, rows: list[dict[str, Any]], fields: dict[str, str], said: str
) -> None:
    """A table that cannot be read is one clear error, with the line where there is one."""
    path = write_table(tmp_path / "scores.csv", rows)
    with pytest.raises(DataError, match=said):
        read_logs(path, Asked(fields=fields))  # type: ignore[arg-type]


def test_no_rows(tmp_path: Path) -> None:
    """A header alone is refused."""
    path = tmp_path / "scores.csv"
    path.write_text("id,score\n")
    with pytest.raises(DataError, match="has no rows"):
        read_logs(path, Asked())


def test_a_long_table_needs_little_memory(tmp_path: Path) -> None:
    """Long texts beside the scores are not kept."""
    import tracemalloc

    rows = [{"id": n, "score": n % 2, "response": "x" * 20_000} for n in range(1000)]
    path = write_table(tmp_path / "scores.jsonl", rows)
    tracemalloc.start()
    read_logs(path, Asked())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 10
