"""Finding logs in folders and files."""

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
