"""Tests of mixmerge.cli.generate_data."""

from pathlib import Path

import pytest
import yaml
from tests.synthesis.conftest import Model, made, model, seeds

from mixmerge.cli.main import exit_code

__all__ = ["model", "seeds"]


def test_the_command_plans_and_then_makes(
    model: Model, seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan asks and writes nothing; both print counts, and the second what was left out."""
    server = model()
    short = {"length": "characters", "prompt": [1, 40]}
    steps = [{"rephrase": 2, "filters": [short]}, {"answer": "safe"}]
    spec = made(seeds, server.url, steps, budget=1)
    file, out = tmp_path / "data.yaml", tmp_path / "out"
    data = spec.model_dump(mode="json", exclude_unset=True)
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert exit_code(["generate-data", str(file), str(out), "--dry-run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "to make: 9 calls, up to about $0.02, for 6 rows (en 6)" in printed
    assert server.calls == []
    assert not out.exists()
    assert exit_code(["generate-data", str(file), str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "rephrase: 2 left out: length: " in printed
    assert f"4 rows (en 4) in {out / 'rows.jsonl'}, $0.00 spent" in printed
    assert f"2 left out, each with its reason: {out / 'dropped.jsonl'}" in printed


def test_a_mistake_in_the_file_is_the_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one message with the line, no traceback."""
    file = tmp_path / "data.yaml"
    file.write_text("seeds: {a: {files: a.jsonl, licence: CC0}}\nsteps: [{rephrase: many}]\n")
    assert exit_code(["generate-data", str(file), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "line 2: steps.0.rephrase: a whole number is required (seen: 'many')." in said
    assert "Traceback" not in said
