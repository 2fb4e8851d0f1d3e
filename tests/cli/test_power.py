"""Tests of mixmerge.cli.power: options as they are typed, and the tables."""

import json
import re
from pathlib import Path

import pytest

from mixmerge.cli.main import exit_code

SMALL = str(Path(__file__).parents[1] / "data" / "small.yaml")
QUICK = ["plan", SMALL, "--studies", "100", "--prompts", "general=40x2"]


def test_the_tables_have_every_axis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference alone asks for the power; nothing is wider than the screen."""
    monkeypatch.setenv("COLUMNS", "100")
    out = ["--out", str(tmp_path / "run")]
    assert exit_code([*QUICK, "--difference", "0.2", "--difference", "safety=0.1", *out]) == 0
    said = capsys.readouterr().out
    assert said.count("each pair") == 4
    for part in ("20.0 pt", "10.0 pt", "100 simulated studies (seed 1)"):
        assert part in said
    assert re.search(r"general +each pair +80 +40 ", said)
    assert max(map(len, said.splitlines())) <= 100


def test_json_for_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers are printed as JSON, the same bytes each time."""
    texts = []
    for _ in range(2):
        assert exit_code([*QUICK, "--power", "--json", "--out", str(tmp_path)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    found = json.loads(texts[0])
    assert [each["axis"] for each in found["contrasts"]] == ["general", "safety"]
    assert found["contrasts"][0]["clusters"] == 40


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rate", "0.3"], "--rate 0.3: AXIS=NUMBER is required"),
        (["--rate", "safety=high"], "--rate high: a number is required"),
        (["--difference", "much"], "--difference much: a number is required"),
        (["--prompts", "general=6x2"], "general=6x2: at least 10 source questions"),
        (["--prompts", "general=many"], "--prompts many: a number of source questions"),
        (["--pilot", "none"], "none: no study.yaml"),
        (["--seeds", "2"], "--seeds 2: how much training seeds differ"),
    ],
)
def test_wrong_options(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is one message and exit code 2."""
    assert exit_code(["plan", SMALL, *options, "--out", str(tmp_path / "run")]) == 2
    seen = capsys.readouterr().err
    assert "Traceback" not in seen
    assert said in seen
