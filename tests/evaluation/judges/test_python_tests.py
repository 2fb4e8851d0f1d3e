"""Code of answers runs against tests, and cannot do what it should not."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.evaluation.judges.cases import CORRECT, GRADED, item

from mixmerge.errors import DataError, ResourceError, SpecError
from mixmerge.evaluation.judges.judge import JudgeContext, ProgramJudge
from mixmerge.evaluation.judges.python_tests import PythonTestsSpec
from mixmerge.records import Verdict

_TRY = ["unshare", "--user", "--net", "--pid", "--fork", "true"]
NAMESPACES = sys.platform.startswith("linux") and subprocess.run(_TRY, check=False).returncode == 0
isolated = pytest.mark.skipif(not NAMESPACES, reason="this system gives users no namespaces")


def judge(folder: Path, **settings: object) -> ProgramJudge:
    spec = PythonTestsSpec.model_validate({"tests": "python", "seconds": 5, **settings})
    return spec.build(JudgeContext(folder / "calls.jsonl", allow_execution=True))


def run(folder: Path, code: str, *tests: str, **settings: object) -> Verdict:
    asked = item(code, tests=tests or ("pass",))
    (verdict,) = judge(folder, **settings).judge([asked], CORRECT)
    return verdict


ADD = "Here:\n```python\ndef add(a, b):\n    return a + b\n```\nDo you like it?"


def test_an_answer_is_correct_if_all_tests_pass(tmp_path: Path) -> None:
    """The first fenced block is run, then each test; the reason says which failed and how."""
    assert run(tmp_path, ADD, "assert add(1, 2) == 3", "assert add(0, 0) == 0").outcome == "yes"
    failed = run(tmp_path, ADD, "assert add(1, 2) == 3", "assert add(2, 2) == 5, 'two and two'")
    assert failed.outcome == "no"
    assert failed.reason == "1 of 2 passed; test 2: AssertionError: two and two"
    assert "SyntaxError" in run(tmp_path, "I cannot do that.").reason


def test_a_grade_is_the_share_of_passed_tests(tmp_path: Path) -> None:
    """Within the bounds of the measure."""
    asked = item(ADD, tests=("assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert False"))
    (verdict,) = judge(tmp_path).judge([asked], GRADED)
    assert verdict.score == pytest.approx(1 + 9 / 3)


def test_tests_do_not_see_each_other(tmp_path: Path) -> None:
    """What one test changes is as it was for the next."""
    code = "seen = []"
    assert run(tmp_path, code, "seen.append(1)", "assert seen == []").outcome == "yes"


def test_nothing_runs_unless_the_study_allows_it(tmp_path: Path) -> None:
    """The message says what would happen, and how to allow it."""
    spec = PythonTestsSpec(tests="python")
    with pytest.raises(SpecError, match=r"runs code that models wrote.*`allow_execution: true`"):
        spec.build(JudgeContext(tmp_path / "calls.jsonl"))


def test_a_prompt_without_tests_is_named(tmp_path: Path) -> None:
    """There is nothing to run."""
    with pytest.raises(DataError, match=r"prompt q0: .* it has none. Give `tests`"):
        judge(tmp_path).judge([item(ADD)], CORRECT)


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(1000)"])
def test_code_that_never_ends_is_stopped(tmp_path: Path, code: str) -> None:
    """Whether it computes or waits."""
    begun = time.monotonic()
    assert "not finished after 1 s" in run(tmp_path, code, seconds=1).reason
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("code", ["raise SystemExit(0)", "import os\nos._exit(0)", "exit()"])
def test_code_that_ends_itself_has_not_passed(tmp_path: Path, code: str) -> None:
    """A test counts only if it was run to its end."""
    assert run(tmp_path, code, "assert False").outcome == "no"
    assert run(tmp_path, code).outcome == "no"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = bytearray(1 << 31)", "MemoryError"),
        ("open('big', 'wb').write(bytes(1 << 26))", "Error"),
        ("[open(f'f{i}', 'w') for i in range(1000)]", "OSError: [Errno 24]"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_memory_and_files_are_limited(tmp_path: Path, code: str, reason: str) -> None:
    """Too much memory, too large a file and too many open ones fail inside the code."""
    verdict = run(tmp_path, code, memory_mb=512)
    assert verdict.outcome == "no"
    assert reason in verdict.reason or "the process ended before" in verdict.reason


@isolated
def test_forks_are_limited_and_leave_nothing(tmp_path: Path) -> None:
    """A fork bomb fails, and a process that leaves its session ends with the test."""
    bomb = "import os\nwhile True:\n    os.fork()"
    assert run(tmp_path, bomb, seconds=3).outcome == "no"
    left = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(4321)"
    assert run(tmp_path, left).outcome == "yes"
    listed = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    assert "time.sleep(4321)" not in listed.stdout


@isolated
def test_a_forked_copy_does_not_speak_for_the_test(tmp_path: Path) -> None:
    """A child that reaches the end does not make a failed test a passed one."""
    code = "import os, time\nif os.fork():\n    time.sleep(0.5)\n    raise ValueError('parent')"
    assert "ValueError: parent" in run(tmp_path, code).reason


@isolated
def test_the_disk_is_a_small_one_of_its_own(tmp_path: Path) -> None:
    """Files together are limited, and nowhere else can anything be written."""
    many = "for i in range(100):\n    open(f'f{i}', 'wb').write(bytes(1 << 20))"
    assert "No space left" in run(tmp_path, many).reason
    for place in (tmp_path / "evil", tmp_path.parents[1] / "evil", Path.home() / "evil"):
        assert run(tmp_path, f"open({str(place)!r}, 'w')").outcome == "no"
        assert not place.exists()
    assert (
        run(tmp_path, "open('mine', 'w').write('x')", "assert open('mine').read()").outcome == "yes"
    )


@isolated
def test_the_run_folder_is_not_seen(tmp_path: Path) -> None:
    """Neither the folder of the journal nor another private one shows its files."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "secret.txt").write_text("s")
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "results.json").write_text("{}")
    context = JudgeContext(run_folder / "calls.jsonl", allow_execution=True, private=(other,))
    by = PythonTestsSpec(tests="python").build(context)
    for path in (other / "secret.txt", run_folder / "results.json"):
        (verdict,) = by.judge([item(f"open({str(path)!r})", tests=("pass",))], CORRECT)
        assert "FileNotFoundError" in verdict.reason
    assert (other / "secret.txt").read_text() == "s"


@isolated
def test_there_is_no_network_and_no_other_process(tmp_path: Path) -> None:
    """A server on this machine is not reached, and only the code's own processes are listed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)"
        assert "Network is unreachable" in run(tmp_path, code).reason
    alone = "import os\nassert len([p for p in os.listdir('/proc') if p.isdigit()]) < 4"
    assert run(tmp_path, alone).outcome == "yes"


@isolated
def test_the_walls_cannot_be_taken_down(tmp_path: Path) -> None:
    """No right is left to unmount what hides the files."""
    code = f"import ctypes\nassert ctypes.CDLL(None).umount2({str(tmp_path).encode()!r}, 2) == 0"
    assert "AssertionError" in run(tmp_path, code).reason


def test_keys_in_the_environment_are_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code gets a small environment of its own."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert run(tmp_path, "import os\nassert 'OPENAI_API_KEY' not in os.environ").outcome == "yes"


def test_packages_and_subprocesses_work(tmp_path: Path) -> None:
    """What an honest answer may need is there."""
    code = "import numpy\nimport subprocess\nsubprocess.run(['true'], check=True)"
    assert run(tmp_path, code, "assert numpy.ones(3).sum() == 3").reason == "1 of 1 passed"


def test_floods_of_output_are_thrown_away(tmp_path: Path) -> None:
    """Nothing of what the code prints can stand for a verdict, or fill the memory."""
    code = "import os\nfor _ in range(2000):\n    print('x' * 100_000)\nos.write(1, b'passed')"
    assert run(tmp_path, code, "assert False").reason == "0 of 1 passed; test 1: AssertionError:"


def test_a_container_command_is_used(tmp_path: Path) -> None:
    """The program and its input go through the command; one that is missing is named."""
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text(
        f'#!/bin/sh\necho used >> {tmp_path}/log\nshift\nexec {sys.executable} "$@"\n'
    )
    wrapper.chmod(0o755)
    assert run(tmp_path, ADD, "assert add(1, 2) == 3", container=[str(wrapper)]).outcome == "yes"
    assert (tmp_path / "log").read_text() == "used\n"
    with pytest.raises(ResourceError, match="tests: no-such-docker cannot be started"):
        run(tmp_path, ADD, container=["no-such-docker", "run"])


@isolated
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take namespaces away")
def test_where_there_are_no_namespaces_the_limits_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a system that refuses them, honest code still runs and endless code still ends."""
    inside = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    wrapper = tmp_path / "python"
    wrapper.write_text(
        f"#!/bin/sh\nexec unshare --user --map-root-user sh -c '{inside}' sh {sys.executable}"
        ' "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    assert run(tmp_path, ADD, "assert add(1, 2) == 3").reason == "1 of 1 passed"
    assert "not finished" in run(tmp_path, "while True: pass", seconds=1).reason
    assert "MemoryError" in run(tmp_path, "x = bytearray(1 << 31)").reason
