"""Toy steps: handlers that write small files, in a module that forked processes can import."""

import os
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

def ranks(task, progress):
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    (task.folder / ("seen-" + os.environ["RANK"])).touch()
    while len(list(task.folder.glob("seen-*"))) < int(os.environ["WORLD_SIZE"]):
        time.sleep(0.05)
    seen = " ".join(sorted(path.name[5:] for path in task.folder.glob("seen-*")))
    (task.folder / f"rank-{os.environ['RANK']}.txt").write_text(seen)
    while len(list(task.folder.glob("rank-*"))) < int(os.environ["WORLD_SIZE"]):
        time.sleep(0.05)
    return {}

def second_time(task, progress):
    first = task.folder / "first"
    if not first.exists():
        first.touch()
        time.sleep(600)
    (task.folder / "out.txt").write_text("b")
    return {}

def flaky(task, progress):
    tries = task.folder / "tries"
    tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
    if len(tries.read_text()) < task.settings["works_at"]:
        raise TimeoutError("the network is slow")
    return {}

def odd(task, progress):
    (task.folder / "failure.json").write_text(task.settings["text"])
    os._exit(1)

def chatty(task, progress):
    for _ in range(200):
        print(task.name * 20, flush=True)
        os.write(2, (task.name * 20 + "\\n").encode())
    return {}

def limits(task, progress):
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MIXMERGE_CORES"]
    names.append("CUDA_VISIBLE_DEVICES")
    return {name: os.environ.get(name) for name in names}

HANDLERS = {"write": write, "user": user_mistake, "fault": our_fault, "vanish": vanish, "odd": odd}
HANDLERS |= {"flaky": flaky, "chatty": chatty, "limits": limits}
def helped(task, progress):
    from mixmerge.execution.engines import helpers_here
    helpers = helpers_here()
    helpers.start(("toy_help", str(task.folder)), 1)
    while not helpers.ended(0):
        time.sleep(0.05)
    helpers.stop()
    return {}

HANDLERS |= {"helped": helped, "ranks": ranks, "second_time": second_time}
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The entry point of the toy handlers."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "toy_handlers.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    return "toy_handlers:HANDLERS"


TOY_STEP = """
import sys
from pathlib import Path
from mixmerge.execution.worker import handlers_from, run_group
sys.exit(run_group(Path(sys.argv[1]), handlers_from("toy_handlers:HANDLERS")))
"""


TOY_HELP = """
import sys
from pathlib import Path
Path(sys.argv[1], "helped.txt").write_text(sys.argv[2])
"""


@pytest.fixture
def toy_step(toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The module that runs one toy step as a command, in every process started from now on."""
    assert toy
    (tmp_path / "lib" / "toy_step.py").write_text(TOY_STEP)
    (tmp_path / "lib" / "toy_help.py").write_text(TOY_HELP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"), prepend=os.pathsep)
    return ("toy_step",)
