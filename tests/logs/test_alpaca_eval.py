"""Reading the annotations of AlpacaEval."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mixmerge import compare
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
    """Other preferences and a second reference are refused."""
    path = write_annotations(tmp_path / "annotations.json", [3])
    with pytest.raises(DataError, match=r"`preference` is 0 or from 1 to 2 \(seen: 3\)"):
        read_logs(path, Asked())
    write_annotations(path, [1, 2])
    rows = json.loads(path.read_text())
    rows[1]["generator_1"] = "davinci"
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match="compared with davinci here and against gpt4 before"):
        read_logs(path, Asked())


def test_a_leaderboard(tmp_path: Path) -> None:
    """A leaderboard has each model's value and standard error; models are compared unpaired."""
    board = tmp_path / "leaderboard.csv"
    heading = ",win_rate,standard_error,n_total,length_controlled_winrate,lc_standard_error\n"
    board.write_text(heading + "a,50.0,1.7,805,40.0,0.2\nb,56.0,1.6,805,41.0,0.1\nc,1,1,805,,\n")
    found = compare([board])
    pair = found.contrasts[0]
    assert (pair.a, pair.b, pair.items) == ("b", "a", 805)
    assert pair.difference == pytest.approx(0.06)
    assert pair.se == pytest.approx(np.hypot(0.017, 0.016))
    assert pair.p == pytest.approx(2 * stats.norm.sf(0.06 / pair.se))
    assert any("totals only, so not paired" in note for note in found.notes)
    assert found.models["b"]["alpaca_eval leaderboard"].value == 0.56
    (other,) = compare([board], metric="length_controlled_winrate").contrasts
    assert (other.a, other.verdict) == ("b", "better")
    with pytest.raises(DataError, match=r"no metric `elo` \(there are: win_rate, length_contr"):
        compare([board], metric="elo")
