"""Tests of mixmerge.cli.plan, and of the option --seed, which other commands share."""

from pathlib import Path

import pytest

from mixmerge.cli.main import exit_code

SMALL = str(Path(__file__).parents[1] / "data" / "small.yaml")


def test_another_seed_can_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a seed of its own, the plan is that of `mixmerge run` with this seed."""
    assert exit_code(["plan", SMALL, "--seed", "7", "--out", str(tmp_path / "run")]) == 0
    assert "29 would run" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["plan", SMALL], ["run", SMALL], ["demo"]])
@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_out_of_range_is_refused(
    command: list[str],
    seed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Seeds are whole numbers below 2 to the 32; anything else is said before work begins."""
    monkeypatch.chdir(tmp_path)
    assert exit_code([*command, "--seed", seed]) == 2
    assert "--seed" in capsys.readouterr().err
