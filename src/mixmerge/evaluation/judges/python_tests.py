"""Whether the Python code of an answer passes the tests of its prompt.

Every test runs after the answer's code in its own process; `sandbox` says what the code can access
there. This protects the machine from a model's mistakes. It is not made to stop code that attacks
the kernel, Python itself or the test: against such answers, use a container.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from functools import partial
from importlib.resources import files
from typing import Literal

from pydantic import Field

from mixmerge.errors import DataError, ResourceError, SpecError
from mixmerge.evaluation.judges.judge import (
    Decision,
    JudgeContext,
    ProgramJudge,
    ProgramJudgeSpec,
    said,
)
from mixmerge.evaluation.judges.parts import fenced
from mixmerge.records import Item, Prompt, Question

_MOST_READ = 4096
"""Bytes that are read of a report; the sandbox writes one line."""


class PythonTestsSpec(ProgramJudgeSpec):
    """An answer is right if its code passes the tests of the prompt.

    With a graded measure, the grade is the share of the tests that pass.
    """

    key = "tests"
    outcomes = frozenset({"correct"})
    runs_code = True

    tests: Literal["python"]
    """The language of the code: the answer's first fenced block, or all of it."""
    seconds: int = Field(10, ge=1)
    """For one test: wall-clock time, and CPU time of each process."""
    memory_mb: int = Field(1024, ge=64)
    """For each process."""
    disk_mb: int = Field(16, ge=1)
    """The most that the code may write; without namespaces, the limit of each file."""
    processes: int = Field(16, ge=1)
    """The most processes and threads at once."""
    container: tuple[str, ...] = ()
    """A command that runs another in a container with standard input and output, e.g.
    ``[docker, run, --rm, -i, --network=none, "python:3.12"]``; it must have ``python3``."""

    def build(self, context: JudgeContext) -> ProgramJudge:
        """Return the judge.

        Raises:
            SpecError: the study does not allow code in answers to run.
        """
        if not context.allow_execution:
            raise SpecError(
                "A judge `tests` runs code that models wrote. To allow that, set "
                "`allow_execution: true` under `evaluate`."
            )
        hidden = [str(folder.resolve()) for folder in (context.journal.parent, *context.private)]
        return ProgramJudge(self, partial(self._tested, hidden))

    def isolates(self) -> bool:
        """Say whether the code runs without network, other processes and files to write, here."""
        # The second process of its own namespace, where there are namespaces.
        return self._problem("", "import os\nassert os.getpid() == 2", []) is None

    def _tested(self, hidden: list[str], item: Item, question: Question) -> Decision:
        code = fenced(item.answer.text)
        tests = tests_of(item.prompt)
        problems = [self._problem(code, test, hidden) for test in tests]
        failed = [f"test {n}: {text}" for n, text in enumerate(problems, 1) if text is not None]
        passed = len(tests) - len(failed)
        reason = "; ".join([f"{passed} of {len(tests)} passed", *failed])[:1000]
        if question.asks == "grade":
            low, high = question.bounds
            return Decision("graded", reason, low + passed / len(tests) * (high - low))
        return said(not failed, reason)

    def _problem(self, code: str, test: str, hidden: list[str]) -> str | None:
        """Run one test; return why it failed, or None."""
        token = secrets.token_hex(16)
        limits = self.model_dump(include={"seconds", "memory_mb", "disk_mb", "processes"})
        job = {"code": code, "test": test, "token": token, "limits": limits, "hidden": hidden}
        program = (files(__package__ or "") / "sandbox.py").read_text(encoding="utf-8")
        python = [*self.container, "python3"] if self.container else [sys.executable]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            report = _run(
                [*python, "-s", "-c", program],
                json.dumps(job),
                folder,
                self.seconds + (60 if self.container else 1),  # the image may have to be downloaded
                _environment(self.container, folder),
            )
        if report is None:
            return f"not finished after {self.seconds} s"
        who, _, rest = report.partition(" ")
        if who != token:
            return "the process ended before the test did"
        verdict, _, why = rest.partition(" ")
        return None if verdict == "passed" else why


def tests_of(prompt: Prompt) -> tuple[str, ...]:
    """Return the tests of a prompt.

    Raises:
        DataError: it has none.
    """
    if not prompt.tests:
        raise DataError(
            f"prompt {prompt.id}: the judge `tests` runs the tests of the prompt, and it has none. "
            "Give `tests`, Python source that raises an error when the code is wrong "
            "(`columns: {tests: ...}`)."
        )
    return prompt.tests


def _environment(container: tuple[str, ...], folder: str) -> dict[str, str]:
    """Return the environment of the code, without the user's keys."""
    if container:  # the command that starts the container needs the user's environment
        return dict(os.environ)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": folder, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", **one_thread}


def _run(
    command: list[str], job: str, folder: str, seconds: float, environment: dict[str, str]
) -> str | None:
    """Run a program and return what it wrote; None if it exceeded its time limit."""
    with tempfile.TemporaryFile() as report:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=report,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ResourceError(
                f"tests: {command[0]} cannot be started: {error}. Install it, or name another "
                "`container`."
            ) from error
        try:
            process.communicate(job.encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # The session includes the processes that the code left running.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        report.seek(0)
        return report.read(_MOST_READ).decode("utf-8", "replace")


SPEC = PythonTestsSpec
