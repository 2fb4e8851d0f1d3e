"""Finding logs in folders and files."""

import json
from pathlib import Path

import pytest
from tests.logs.made import write_inspect, write_lm_eval

from mixmerge.errors import DataError
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked


def test_formats_are_told_apart(tmp_path: Path) -> None:
    """A file's format is seen from its name and beginning; `only` restricts it."""
    write_lm_eval(tmp_path / "lm", "a", {"sums": [1, 0]})
    inspect = write_inspect(tmp_path / "log.json", {"match": ["C", "I"]})
    table = tmp_path / "scores.json"
    table.write_text('[{"id": 1, "score": 1}]')
    seen = [read_logs(path, Asked())[0].format for path in (tmp_path / "lm", inspect, table)]
    assert seen == ["lm_eval", "inspect", "table"]
    with pytest.raises(DataError, match=r"no log of evaluations .*known formats: lm_eval\)"):
        read_logs(inspect, Asked(), only="lm_eval")


def test_nothing_to_read(tmp_path: Path) -> None:
    """A missing path, an empty folder and a task that no log has are refused."""
    with pytest.raises(DataError, match="gone: no such file or folder"):
        read_logs(tmp_path / "gone", Asked())
    with pytest.raises(DataError, match=r"no log of evaluations was found here \(known formats: "):
        read_logs(tmp_path, Asked())
    path = write_inspect(tmp_path / "log.eval", {"match": ["C"]})
    with pytest.raises(DataError, match=r"no scores of the task maths"):
        read_logs(path, Asked(tasks=("maths",)))


def test_logs_of_several_harnesses_in_a_folder(tmp_path: Path) -> None:
    """Logs of all harnesses are read; a table beside them is not."""
    write_lm_eval(tmp_path, "a", {"facts": [1, 0]})
    write_inspect(tmp_path / "log.eval", {"match": ["C", "I"]}, model="org/a")
    (tmp_path / "totals.csv").write_text("model,accuracy\na,0.5\n")
    assert [(each.format, each.task) for each in read_logs(tmp_path, Asked())] == [
        ("lm_eval", "facts"),
        ("inspect", "sums"),
    ]


def test_local_models_are_called_by_the_end_of_their_path(tmp_path: Path) -> None:
    """As much of the path is kept as tells models apart; names of a hub stay."""
    for folder, path in (("x", "/runs/safety/model"), ("y", "/runs/code/model"), ("z", "org/m")):
        file = write_lm_eval(tmp_path, folder, {"sums": [1, 0]})
        file.write_text(file.read_text().replace(f"/models/{folder}", path))
    read = read_logs(tmp_path, Asked())
    assert [each.model for each in read] == ["safety/model", "code/model", "org/m"]
    assert read_logs(tmp_path / "x", Asked())[0].model == "model"


def test_json_without_indents_is_recognised(tmp_path: Path) -> None:
    """A log that was written again by another program is the same log."""
    path = write_inspect(tmp_path / "log.json", {"match": ["C", "I"]})
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))
    assert read_logs(path, Asked())[0].format == "inspect"
    file = write_lm_eval(tmp_path, "a", {"sums": [1, 0]})
    file.write_text(json.dumps(json.loads(file.read_text()), separators=(",", ":")))
    assert read_logs(file, Asked())[0].format == "lm_eval"
