"""Reading the annotations of AlpacaEval."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.find import read_logs
from mixmerge.logs.scores import Asked


def write_annotations(path: Path, preferences: list[Any], model: str = "a", **changes: Any) -> Path:
    rows = [
        {
            "instruction": f"Do {number}",
            "output_1": "as the reference",
            "generator_1": "gpt4",
            "dataset": "helpful",
            "output_2": f"{model} does {number}",
            "generator_2": model,
            "annotator": "weighted",
            "preference": preference,
        }
        | changes
        for number, preference in enumerate(preferences)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1))
    return path


def test_preferences_become_win_rates(tmp_path: Path) -> None:
    """1 is a loss, 2 a win, 0 and 1.5 are ties, and null is missing."""
    path = write_annotations(tmp_path / "a" / "annotations.json", [1, 2, 0, 1.5, 1.25, None])
    (scores,) = read_logs(tmp_path, Asked())
    assert scores.values[:5] == [0, 1, 0.5, 0.5, 0.25]
    assert scores.values[5] != scores.values[5]
    assert (scores.model, scores.better, scores.version) == ("a", "higher", "against gpt4")
    texts = FORMATS["alpaca_eval"].texts(scores, frozenset({"helpful Do 1"}), Asked())
    assert texts["helpful Do 1"] == ("Do 1", "a does 1", "as the reference")
    assert path.name == scores.origin.name


def test_wrong_annotations(tmp_path: Path) -> None:
    """Other preferences and a second reference are refused, and so are totals."""
    path = write_annotations(tmp_path / "annotations.json", [3])
    with pytest.raises(DataError, match=r"`preference` is 0 or from 1 to 2 \(seen: 3\)"):
        read_logs(path, Asked())
    write_annotations(path, [1, 2])
    rows = json.loads(path.read_text())
    rows[1]["generator_1"] = "davinci"
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="compared with davinci here and against gpt4 before"):
        read_logs(path, Asked())
    board = tmp_path / "board" / "leaderboard.csv"
    board.parent.mkdir()
    board.write_text(",win_rate,standard_error\na,50.0,1.7\n")
    with pytest.raises(DataError, match=r"has totals only.*Give the annotations\.json"):
        read_logs(board.parent, Asked())
