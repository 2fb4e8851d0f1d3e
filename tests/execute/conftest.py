"""Toy steps: handlers that write small files, in a module that forked processes can import."""

from pathlib import Path

import pytest

TOY = '''
"""Handlers for tests."""
import os, time
from pathlib import Path
from mixmerge.errors import DataError

def write(task, progress):
    parents = "".join((task.inputs[role] / "out.txt").read_text() for role in sorted(task.inputs))
    files = "".join(task.files[role].read_text() for role in sorted(task.files))
    progress(1, 2, "writing")
    time.sleep(task.settings.get("sleep", 0))
    (task.folder / "out.txt").write_text(task.settings.get("text", "") + parents + files)
    return {"parents": len(task.inputs), "cwd": os.getcwd()}

def user_mistake(task, progress):
    raise DataError("rows.jsonl, line 3: broken.")

def our_fault(task, progress):
    raise RuntimeError("boom")

def vanish(task, progress):
    os.kill(os.getpid(), 9)

HANDLERS = {"write": write, "user": user_mistake, "fault": our_fault, "vanish": vanish}
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The entry point of the toy handlers."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "toy_handlers.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    return "toy_handlers:HANDLERS"
