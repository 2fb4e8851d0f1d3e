"""A study with fast stand-ins for training and generation, run as `mixmerge run` would run it.

    python chaos_driver.py STUDY ROOT [STEP]

Everything else is real: files, steps, data, mixing, merging, judging, results and report.
"""

import hashlib
import random
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixmerge.errors import UserError
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Task
from mixmerge.execution.store import Store
from mixmerge.files import read_rows, whole_folder, write_rows
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.progress import Progress
from mixmerge.records import Prompt, Response
from mixmerge.study import steps
from mixmerge.study.run import prepare
from mixmerge.study.steps.kind import MODEL, ROWS, model_path


def train(task: Task, progress: Progress) -> Mapping[str, Any]:
    """Copy the parent model and move one of its tensors as settings and rows say."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    rows = task.inputs["rows"] / ROWS
    seed = int(fingerprint([dict(task.settings), file_fingerprint(rows)])[:8], 16)
    parent = model_path(task.inputs["model"])
    with whole_folder(task.folder / MODEL) as folder:
        shutil.copytree(parent, folder, dirs_exist_ok=True)
        for step in range(5):
            progress(step, 5, "training")
            time.sleep(0.03)
        tensors = load_file(folder / "model.safetensors")
        name = min(tensors)
        noise = np.random.default_rng(seed).normal(size=tensors[name].shape)
        tensors[name] = (tensors[name] + 0.01 * noise).astype(tensors[name].dtype)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return {"tokens": 1000, "rows": 100, "steps": 5}


def generate(task: Task, progress: Progress) -> Mapping[str, Any]:
    """Answer as a hash of weights and prompt says: rightly, with a refusal, or with nonsense."""
    model = file_fingerprint(model_path(task.inputs["model"]) / "model.safetensors")
    asked = 0
    for role, folder in task.inputs.items():
        if not role.startswith("prompts:"):
            continue
        prompts = read_rows(folder / ROWS, Prompt)
        answers = [_answer(model, prompt) for prompt in prompts]
        write_rows(task.folder / f"{role.removeprefix('prompts:')}.jsonl", answers)
        asked += len(answers)
        progress(asked, asked, "answering")
    return {"answers": asked, "tokens": asked}


def _answer(model: str, prompt: Prompt) -> Response:
    draw = random.Random(hashlib.sha256(f"{model} {prompt.id}".encode()).digest())
    texts = [*prompt.accepted[:1], "I cannot help with that.", "Sure, here is how."]
    return Response(prompt=prompt.id, text=draw.choice(texts), finish_reason="stop", tokens=1)


HANDLERS = {**steps.HANDLERS, "train": train, "generate": generate}


def main(study: Path, root: Path, only: list[str] | None = None) -> int:
    """Run the study; 0: done, 2: the user must do something, 1: a fault."""
    engine = LocalEngine("chaos_driver:HANDLERS", cpus=2, preload=["chaos_driver"])
    try:
        failed = run(prepare(study, root).steps, Store(root), engine, only=only).failed
    except UserError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    finally:
        engine.close()
    for name, (code, message) in failed.items():
        print(name, code, message, file=sys.stderr)  # noqa: T201
    if not failed:
        return 0
    return 2 if all(code == 2 for code, _ in failed.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or None))
