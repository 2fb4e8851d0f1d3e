"""What steps cost beyond their work: `python -m benchmarks.steps [--steps 500]`.

Runs trivial steps one after another, runs the finished graph again, and plans a finished study of
as many steps, in this process and as the command a person types. Writes results/steps.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from benchmarks.machine import describe

from mixmerge import plan
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Step, Task, in_order
from mixmerge.execution.store import RECORD, Store
from mixmerge.files import write_json
from mixmerge.progress import Progress
from mixmerge.study.run import prepare

CHAIN = 5
STUDY = Path(__file__).parents[1] / "tests" / "data" / "small.yaml"
MERGE = "  m{i}: {{merge: {{method: linear, models: {{sft-0: {w}, sft-100: {v}}}}}}}\n"
FACTS = {
    "mix": {"rows": 100, "characters": 4000},
    "train": {"rows": 100, "tokens": 1000, "steps": 10},
    "prompts": {"rows": 100, "clusters": 50, "machine_translated": 0},
}
"""What the records of steps tell that a plan reads."""


def trivial(task: Task, progress: Progress) -> Mapping[str, Any]:
    """Write a file of a few bytes."""
    progress(0, 1, "writing")
    (task.folder / "out.txt").write_text(task.name)
    return {}


HANDLERS = {"trivial": trivial}


def chains(count: int) -> list[Step]:
    """Return steps in chains of five."""
    return [
        Step("trivial", f"s{i}", {"i": i}, {"in": f"trivial/s{i - 1}"} if i % CHAIN else {})
        for i in range(count)
    ]


def finished_study(count: int, folder: Path) -> tuple[Path, Path]:
    """Write a study with about so many steps, and a run folder in which all of them are done."""
    text = STUDY.read_text()
    merges = max(1, (count - 29) // 3)
    lines = [MERGE.format(i=i, w=i + 1, v=merges - i + 1) for i in range(merges)]
    study, root = folder / "study.yaml", folder / "run"
    study.write_text(text.replace("\nevaluate:", "".join(lines) + "\nevaluate:"))
    store = Store(root)
    passed_on: dict[str, str] = {}
    placed: dict[str, Path] = {}
    for step in in_order(prepare(study, root).steps):
        key = store.key(step, passed_on)
        placed[step.id] = store.place(step, key, placed)
        record = {"key": key, "kind": step.kind, "name": step.name, "output": key, "seconds": 1.0}
        write_json(
            placed[step.id] / RECORD,
            {**record, "contents": {}, "facts": FACTS.get(step.kind, {})},
        )
        passed_on[step.id] = key
    return study, root


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return the seconds that a call takes: of the clock, and of processors.

    On a busy machine only the second number says much.
    """
    start, busy = time.perf_counter(), processor_seconds()
    work()
    seconds = time.perf_counter() - start
    return {"wall": round(seconds, 2), "processor": round(processor_seconds() - busy, 2)}


def processor_seconds() -> float:
    """Return the processor time of this process, of finished children, and of the fork server."""
    own = sum(os.times()[:4])
    server = forkserver._forkserver._forkserver_pid
    if server is None:
        return own
    fields = Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()
    return own + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Return the seconds of everything that is measured."""
    engine = LocalEngine("benchmarks.steps:HANDLERS", cpus=1, preload=["benchmarks.steps"])
    walk = chains(count)

    def once() -> None:
        outcome = run(walk, Store(folder / "trivial"), engine)
        assert len(outcome.done) == count

    run(chains(1), Store(folder / "warm-up"), engine)
    seconds = {"run serially": timed(once), "run again, all reused": timed(once)}
    engine.close()
    study, root = finished_study(count, folder)
    states = [row.state for row in plan(study, root).rows]
    assert set(states) == {"done"}
    seconds["plan, in a process that has mixmerge loaded"] = timed(lambda: plan(study, root))
    command = [sys.executable, "-m", "mixmerge", "plan", str(study), "--out", str(root)]
    seconds["mixmerge plan, the whole command"] = timed(
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    )
    load = round(os.getloadavg()[0], 1)
    return {"steps": count, "planned": len(states), "load": load, "seconds": seconds}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.steps, Path(folder))
    for name, value in found["seconds"].items():
        print(f"{value['wall']:8.2f} s  {value['processor']:8.2f} s of processors  {name}")
    print(f"load of the machine: {found['load']}")
    results = Path(__file__).parent / "results" / "steps.json"
    results.write_text(json.dumps({"machine": describe(None), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
