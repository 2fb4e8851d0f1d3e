"""``mixmerge compare`` on the command line."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.comparison.test_against_references import write_scores
from tests.logs.made import write_lm_eval

from mixmerge.cli.main import exit_code

HALF = [1, 0] * 20
MOST = [1, 1, 1, 0] * 10


def test_a_table_and_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every task has a table within 80 columns, and each of few comparisons a sentence."""
    write_lm_eval(tmp_path, "base", {"facts": HALF, "sums": HALF})
    write_lm_eval(tmp_path, "tuned", {"facts": [*HALF[:-1], 1], "sums": MOST})
    assert exit_code(["compare", str(tmp_path / "base"), str(tmp_path / "tuned")]) == 0
    lines = capsys.readouterr().out.splitlines()
    tables = [line.rstrip() for line in lines]
    assert "sums: acc in %, higher is better" in tables
    heading = next(" ".join(line.split()) for line in lines if "Model" in line)
    assert heading == "Model Mean base Diff. 95% interval p adj. p Items Verdict"
    assert max(map(len, tables[: tables.index("")])) <= 80
    row = next(line.split() for line in lines if "better" in line and "tuned" in line)
    assert row[:4] == ["tuned", "75.0", "50.0", "+25.0"]
    assert row[-3:] == ["0.004", "40", "better"]
    assert "tuned is better than base on sums: +25.0 points." in tables
    assert any("needs" in line for line in lines)
    assert any("takes about" in line and "facts" in line for line in lines)


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one document whose contrasts have the keys of ``results.json``."""
    path = write_scores(tmp_path / "s.csv", {"a": np.array(HALF), "b": np.array(MOST)})
    assert exit_code(["compare", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 2
    (contrast,) = found["contrasts"]
    keys = {"a", "b", "axis", "difference", "ci", "p", "p_adjusted", "n", "absent"}
    assert keys <= contrast.keys()
    assert contrast["difference"] == 0.25


def test_a_mistake_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not fit ends with code 2 and one message."""
    assert exit_code(["compare", str(tmp_path / "none")]) == 2
    assert "none: no such file or folder." in capsys.readouterr().err


def test_many_comparisons_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of many comparisons the numbers of verdicts are told; clusters have a column."""
    scores = {"base": np.array(HALF)} | {f"m{k}": np.array(MOST) for k in range(6)}
    path = write_scores(tmp_path / "s.csv", scores, np.arange(40) // 2)
    assert exit_code(["compare", str(path)]) == 0
    out = capsys.readouterr().out
    assert "6 comparisons with base: " in out
    assert "higher is better; items (clusters)" in out
    assert "(20)" in out


def test_no_heavy_library(tmp_path: Path) -> None:
    """A comparison of tables and of lm-eval's logs imports no model library and no inspect_ai."""
    path = write_scores(tmp_path / "s.csv", {"a": np.array(HALF), "b": np.array(MOST)})
    for name in ("base", "tuned"):
        write_lm_eval(tmp_path / "lm", name, {"sums": HALF})
    code = (
        "import sys\n"
        "from mixmerge.cli.main import exit_code\n"
        f"for run in ({str(path)!r}, {str(tmp_path / 'lm')!r}):\n"
        "    assert exit_code(['compare', run]) == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'matplotlib', 'inspect_ai',\n"
        "         'lm_eval', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_fifty_models_on_ten_thousand_items(tmp_path: Path) -> None:
    """50 models × 10,000 items take seconds, with reading."""
    rng = np.random.default_rng(0)
    scores = {f"m{k}": (rng.random(10_000) < 0.5 + k / 500).astype(float) for k in range(50)}
    path = write_scores(tmp_path / "s.csv", scores)
    start = time.process_time()
    assert exit_code(["compare", str(path), "--json"]) == 0
    # 3 s of one core on a quiet machine; the bound only catches another order of growth.
    assert time.process_time() - start < 20
