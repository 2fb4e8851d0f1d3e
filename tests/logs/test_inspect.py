"""Reading the logs of inspect_ai."""

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.logs.made import write_inspect

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked

SUFFIXES = pytest.mark.parametrize("suffix", [".eval", ".json"])


@SUFFIXES
def test_scores_of_both_formats(tmp_path: Path, suffix: str) -> None:
    """Grades become numbers, by sample and epoch; the first scorer counts by default."""
    path = tmp_path / f"log{suffix}"
    write_inspect(path, {"match": ["C", "I", "P", "N"], "grade": [1, 2, 3, 4]}, epochs=2, version=3)
    (scores,) = read_logs(path, Asked())
    assert (scores.model, scores.task, scores.version) == ("org/model", "sums", "3")
    assert (scores.items, scores.epochs) == (["1", "2", "1", "2"], ["1", "1", "2", "2"])
    assert (scores.metric, scores.values) == ("match", [1.0, 0.0, 0.5, 0.0])
    (graded,) = read_logs(path, Asked(metric="grade", fields={"cluster": "topic"}))
    assert (graded.values, graded.clusters) == ([1.0, 2.0, 3.0, 4.0], ["t0"] * 4)


@SUFFIXES
def test_a_scorer_with_several_values(tmp_path: Path, suffix: str) -> None:
    """A value of a scorer that gives several is named scorer/key."""
    path = tmp_path / f"log{suffix}"
    write_inspect(path, {"judge": [{"fluent": 1, "true": "C"}, {"fluent": 0, "true": "I"}]})
    (first,) = read_logs(path, Asked())
    assert (first.metric, first.metrics) == ("judge/fluent", ["judge/fluent", "judge/true"])
    (other,) = read_logs(path, Asked(metric="judge/true"))
    assert other.values == [1.0, 0.0]


@SUFFIXES
def test_texts(tmp_path: Path, suffix: str) -> None:
    """Question, answer and target of the wanted samples."""
    path = write_inspect(tmp_path / f"log{suffix}", {"match": ["C", "I"]})
    (scores,) = read_logs(path, Asked())
    texts = FORMATS["inspect"].texts(scores, frozenset({"2"}), Asked())
    assert texts == {"2": ("What is 1?", "org/model says 1", "yes")}


@SUFFIXES
def test_what_is_missing_is_said(tmp_path: Path, suffix: str) -> None:
    """Samples with errors and without scores have none; an unfinished run is noted."""
    path = tmp_path / f"log{suffix}"
    write_inspect(path, {"match": ["C", "I", None, "C"]}, errors=[3], status="error")
    (scores,) = read_logs(path, Asked())
    assert [math.isnan(value) for value in scores.values] == [False, False, True, True]
    notes = " ".join(scores.notes)
    assert "did not finish (status: error)" in notes
    assert "1 of 4 samples ended with an error" in notes


def test_long_questions_are_the_same_in_both_formats(tmp_path: Path) -> None:
    """A ``.eval`` log's summaries cut long texts; they are the same questions all the same."""
    long = "{} " + "x" * 6000
    paths = [tmp_path / "a.eval", tmp_path / "b.json"]
    a, b = (
        read_logs(write_inspect(path, {"m": ["C", "I"]}, questions=long), Asked())[0]
        for path in paths
    )
    assert a.contents == b.contents
    assert len({*a.contents}) == 2


def test_the_name_of_a_local_model(tmp_path: Path) -> None:
    """A local model is called by its folder, whatever word follows ``hf/``."""
    path = tmp_path / "log.eval"
    write_inspect(path, {"m": ["C"]}, model="hf/x", model_args={"model_path": "/models/tuned"})
    (scores,) = read_logs(path, Asked())
    assert scores.model == "tuned"


@SUFFIXES
def test_wrong_scores(tmp_path: Path, suffix: str) -> None:
    """Unknown words, lists and scorers, and logs without scores, are one clear error each."""
    path = tmp_path / f"log{suffix}"
    write_inspect(path, {"match": ["A", "B"], "list": [[1, 2], [3, 4]]})
    with pytest.raises(DataError, match=r"sample 1, `match`: a score is a number.*seen: 'A'"):
        read_logs(path, Asked())
    with pytest.raises(DataError, match=r"sample 1, `list`: a score is a number"):
        read_logs(path, Asked(metric="list"))
    with pytest.raises(DataError, match=r"no scorer `f1` .there are: match, list."):
        read_logs(path, Asked(metric="f1"))
    with pytest.raises(DataError, match=r"has no metadata `subject` .there are: topic."):
        read_logs(path, Asked(metric="list", fields={"cluster": "subject"}))
    write_inspect(path, {"match": [None, None]}, status="cancelled")
    with pytest.raises(DataError, match=r"no sample has a score .status: cancelled, 2 samples."):
        read_logs(path, Asked())


@SUFFIXES
def test_a_truncated_log(tmp_path: Path, suffix: str) -> None:
    """Half a zip and half a JSON file are refused, with what to do."""
    path = write_inspect(tmp_path / f"log{suffix}", {"match": ["C"] * 20})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=r"cannot read this log, which is incomplete.*Copy it"):
        read_logs(path, Asked())


@SUFFIXES
def test_a_log_of_a_newer_inspect(tmp_path: Path, suffix: str) -> None:
    """A log of a later format is refused: its fields may mean something else."""
    path = write_inspect(tmp_path / f"log{suffix}", {"match": ["C", "I"]})
    if suffix == ".json":
        path.write_text(path.read_text().replace('"version": 2', '"version": 99', 1))
    else:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        for name in ("header.json", "_journal/start.json"):
            parts[name] = json.dumps(json.loads(parts[name]) | {"version": 99}).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
    with pytest.raises(DataError, match=r"a newer inspect_ai wrote this log .format 99.*up to 2"):
        read_logs(path, Asked())


def test_without_inspect(tmp_path: Path) -> None:
    """Without inspect_ai the message names the extra to install."""
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK")
    code = (
        "import sys; sys.modules['inspect_ai'] = None\n"
        "from mixmerge.cli.main import exit_code\n"
        f"sys.exit(exit_code(['compare', {str(path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'mixmerge[inspect]'" in done.stderr


def test_a_long_log_needs_little_memory(tmp_path: Path) -> None:
    """A JSON log is read a sample at a time: the peak is far below the size of the file."""
    import tracemalloc

    path = write_inspect(tmp_path / "log.json", {"match": ["C", "I"] * 150})
    head, rest = path.read_text().split('"metadata": {', 1)
    filler = ", ".join(f'"note {number}": "{"x" * 999}"' for number in range(100))
    path.write_text(head + '"metadata": {' + rest.replace('"topic"', f'{filler}, "topic"'))
    assert path.stat().st_size > 25_000_000
    (small,) = read_logs(write_inspect(tmp_path / "warm.json", {"match": ["C"]}), Asked())
    assert small.items == ["1"]
    tracemalloc.start()
    (scores,) = read_logs(path, Asked())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(scores.items) == 300
    assert peak < 8_000_000
