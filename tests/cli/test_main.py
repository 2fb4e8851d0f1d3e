"""Tests of the command line: help, errors as messages, exit codes."""

import logging
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from mixmerge.cli.main import exit_code
from mixmerge.durable import Log
from mixmerge.errors import SpecError
from mixmerge.execution.engines import ENGINES
from mixmerge.execution.events import Ended, Failed
from mixmerge.execution.status import StatusFile
from mixmerge.execution.step import Step
from mixmerge.study.run import Prepared

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


def test_help_teaches_without_torch() -> None:
    """`mixmerge --help` lists every command, answers quickly and imports no heavy library."""
    code = (
        "import sys\n"
        "from mixmerge.cli.main import exit_code\n"
        "assert exit_code(['--help']) == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'scipy', 'matplotlib', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Half a second on a quiet machine; the bound here only catches a heavy import.
    assert time.perf_counter() - start < 5
    for command in ("demo", "run", "plan", "status", "adopt", "report", "mix", "train"):
        assert command in done.stdout
    for command in ("merge", "evaluate", "inspect"):
        assert command in done.stdout


def test_plan_needs_no_torch(tmp_path: Path) -> None:
    """`mixmerge plan` answers without a model library and creates nothing."""
    code = (
        "import sys\n"
        "from mixmerge.cli.main import exit_code\n"
        f"assert exit_code(['plan', {str(SMALL)!r}, '--out', {str(tmp_path / 'run')!r}]) == 0\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "29 would run" in done.stdout
    assert not (tmp_path / "run" / "train").exists()


@pytest.mark.parametrize(
    ("command", "named"), [("run", list(ENGINES)), ("merge", ["local", "ray"])]
)
def test_help_names_the_engines(
    command: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """`--engine` lists the engines that are registered; of a merge those that can help with it."""
    assert exit_code([command, "--help"]) == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f": {', '.join(named)}." in words


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`mixmerge --version` prints name and version."""
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mixmerge 0.")


@pytest.mark.parametrize("command", [["run", str(SMALL)], ["demo"], ["evaluate", "a", "b"]])
@pytest.mark.parametrize("workers", ["0", "-2"])
def test_no_cores_are_refused(
    command: list[str], workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command that takes a number of cores asks for one at least."""
    assert exit_code([*command, "--workers", workers]) == 2
    assert "--workers" in capsys.readouterr().err


def test_a_mistake_of_the_user_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong study file gives its line and exit code 2, without a traceback."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(SMALL.read_text().replace("mixtures:", "mixture:"))
    assert exit_code(["run", str(bad)]) == 2
    said = capsys.readouterr().err
    assert f"{bad}, line 11: mixture: unknown key" in said
    assert "did you mean `mixtures`?" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml: no such file"),
        (["run", str(SMALL), "--engine", "moon"], "--engine moon"),
        (
            ["merge", "none.yaml", "out", "--engine", "moon"],
            "--engine moon: there is no such engine",
        ),
        (
            ["merge", "none.yaml", "out", "--engine", "slurm"],
            "--engine slurm: runs whole steps only",
        ),
        (["run", str(SMALL), "--only", "train/none"], "--only train/none: there is no such step"),
        (["report", "none"], "none: no study.yaml"),
        (["mix", "none.yaml", "out"], "none.yaml: no such file"),
        (["train", "none.yaml", "out"], "none.yaml: no such file"),
        (["merge", "none.yaml", "out"], "none.yaml"),
        (["evaluate", "none.yaml", "out"], "none.yaml: no such file"),
        (["status", "none"], "none: no status.json"),
        (["adopt", str(SMALL), "none", "none"], "none: there is no such checkpoint"),
        (["inspect", "none"], "none: no such folder"),
        (["step", "none"], "none/step.json: no such file"),
        (["dance"], "No such command"),
    ],
    ids=lambda value: (
        " ".join(Path(part).name for part in value) if isinstance(value, list) else ""
    ),
)
def test_what_does_not_exist_is_named(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing file, step or command gives exit code 2 and a message that names it."""
    monkeypatch.chdir(tmp_path)
    assert exit_code(arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_fault_of_ours_leaves_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unexpected error gives exit code 1, one line and a file with the traceback."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("mixmerge.study.explain.explain", broken)
    assert exit_code(["plan", str(SMALL)]) == 1
    said = capsys.readouterr().err
    assert "mixmerge failed: RuntimeError: boom" in said
    log = Path(said.split("The traceback is in ")[1].strip().rstrip("."))
    assert "Traceback" in log.read_text()
    log.unlink()


@pytest.mark.parametrize(("asked", "level"), [("debug", "DEBUG"), ("", "WARNING")])
def test_the_log_level_may_be_written_small(
    asked: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MIXMERGE_LOG needs no capital letters; left empty, only warnings are logged."""
    started: list[str] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **options: started.append(options["level"]))
    monkeypatch.setenv("MIXMERGE_LOG", asked)
    assert exit_code(["--version"]) == 0
    assert started == [level]


def test_an_unknown_log_level_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A level that does not exist is a mistake of the user's, said with those that do."""
    monkeypatch.setenv("MIXMERGE_LOG", "loud")
    assert exit_code(["--version"]) == 2
    assert "MIXMERGE_LOG=loud: there is no such level; there are " in capsys.readouterr().err


def test_brackets_in_a_path_are_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run folder whose name looks like markup is shown as it is."""
    monkeypatch.chdir(tmp_path)
    root = Path("run[", "b]")
    step = Step("train", "a")
    told = StatusFile(root, [step])
    folder = root / "train" / "a-01234567"
    folder.mkdir(parents=True)
    told(Failed(step, folder, "boom"))
    told(Ended("failed"))
    assert exit_code(["status", str(root)]) == 0
    said = capsys.readouterr().out
    assert "run[/b]: failed; 1 steps: 1 failed." in said
    assert "mixmerge step run[/b]/train/a-01234567" in said
    assert "for other tools: run[/b]/status.json" in said


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An interrupt says that finished work is kept and exits with 130."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mixmerge.study.explain.explain", interrupted)
    assert exit_code(["plan", str(SMALL)]) == 130
    assert "What was finished is kept" in capsys.readouterr().err


def test_what_was_spent_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `status`, and by a run that fails: both kinds of calls, in dollars."""
    step = Step("train", "a")
    StatusFile(tmp_path, [step])(Ended("failed"))
    for kind, changes in (("judge", [0.5, -0.2]), ("generate", [1.2])):
        with closing(Log(tmp_path / "cache" / kind / "spent.jsonl")) as ledger:
            for change in changes:
                ledger.append(change)
    assert exit_code(["status", str(tmp_path)]) == 0
    line = "spent at endpoints: $1.50 (generate $1.20, judge $0.30)"
    assert line in capsys.readouterr().out

    def fail(*_: object, **__: object) -> None:
        raise SpecError("no")

    monkeypatch.setattr(Prepared, "run", fail)
    study = tmp_path / "small.yaml"
    study.write_text(SMALL.read_text())
    assert exit_code(["run", str(study), "--out", str(tmp_path)]) == 2
    assert line in capsys.readouterr().out
