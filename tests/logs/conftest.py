"""Real logs, made once: lm-eval and inspect_ai run two tiny models on local data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TASK = """\
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: right
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 1.0}}
"""
INSPECT_TASK = """\
from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.scorer import includes, match
from inspect_ai.solver import generate

@task
def sums():
    def sample(row):
        return Sample(input=row["question"], target=row["answer"], metadata={"first": row["first"]})
    return Task(
        dataset=json_dataset("sums.jsonl", sample), solver=generate(max_tokens=2, temperature=0.8),
        scorer=[includes(), match()], epochs=2, version=3,
    )
"""


def _data(path: Path) -> None:
    """Questions whose answer is one letter, so that a model that only babbles is right at times."""
    rows = [
        {
            "question": f"Write a letter of {word}.",
            "choices": [" a", " q", " e"],
            "right": number % 3,
            "answer": "aqe"[number % 3],
            "first": word[0],
        }
        for number, word in enumerate(
            f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in ("ter", "mon")
        )
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _models(folder: Path) -> list[Path]:
    """Write the testbed's base model, and another that differs from it by noise."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from mixmerge.testbed.model import write_model

    base, noisy = folder / "base", folder / "noisy"
    write_model(base)
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights), alpha=0.05)
    model.save_pretrained(noisy)
    AutoTokenizer.from_pretrained(base).save_pretrained(noisy)
    return [base, noisy]


def _run(folder: Path, *command: str) -> None:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    environment = {**os.environ, **offline, "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="session")
def real_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``lm-eval``, ``inspect`` (.eval) and ``inspect.json`` (one log)."""
    folder = tmp_path_factory.mktemp("real")
    _data(folder / "sums.jsonl")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "sums.yaml").write_text(TASK.format(data=folder / "sums.jsonl"))
    (folder / "task.py").write_text(INSPECT_TASK)
    for model in _models(folder):
        _run(
            folder, "lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "8",
            "--model_args", f"pretrained={model},dtype=float32", "--tasks", "sums",
            "--include_path", "tasks", "--log_samples", "--output_path", "lm-eval",
        )  # fmt: skip
        _run(
            folder, "inspect_ai", "eval", "task.py", "--model", f"hf/{model.name}",
            "-M", f"model_path={model}", "--log-dir", "inspect", "--display", "none", "--seed", "1",
        )  # fmt: skip
    return folder
