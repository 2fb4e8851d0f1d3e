"""Rough times of trainings and generations before any has run: operations over speed.

A forward pass takes 2 operations a weight and token, a backward pass twice as many (Kaplan et al.
2020, section 2.1), of which LoRA skips the gradients of frozen weights. A generated token reads
every weight once for the whole batch. The speeds are a third of the peak of an A100 and of a
laptop's core; the first finished step of a kind replaces the guess.
"""

import math
from collections.abc import Mapping, Sequence

from mixmerge.execution.plan import Planned
from mixmerge.records import Prompt
from mixmerge.study.memory import ModelSize, device_of, model_size
from mixmerge.study.resolution import prompt_counts
from mixmerge.study.steps.generate import Generate
from mixmerge.study.steps.train import Train

_OPERATIONS, _BYTES = (2e10, 1e14), (1e10, 5e11)
"""Per second, of one core and of one GPU."""
_LARGE = 1e9
"""From this many weights, a study planned on a machine without a GPU is assumed to run on one."""
GUESS = (
    "trainings and answers are guessed from the weights and tokens of each, at 1e14 operations a "
    "second on a GPU (which models of 1e9 weights are taken to have) or 2e10 on a core; other "
    "steps are not known"
)


def guessed_seconds(
    item: Planned,
    steps: Mapping[str, Planned],
    tokens: float,
    prompts: Mapping[str, Sequence[Prompt]],
) -> float | None:
    """Return the seconds of a training on so many tokens, or of a generation.

    None for other steps, and where the model's size or the prompts are not known.
    """
    parent = item.step.inputs.get("model")
    size = model_size(parent, steps) if parent else None
    if size is None:
        return None
    if item.step.kind == Train.kind:
        return _training(item, size, tokens)
    return _answering(item, size, steps, prompts) if item.step.kind == Generate.kind else None


def _on_gpu(item: Planned, size: ModelSize) -> bool:
    asked = item.step.placement.get("device", "auto") != "cpu"
    return device_of(item).gpu or (asked and size.weights >= _LARGE)


def _training(item: Planned, size: ModelSize, tokens: float) -> float:
    recipe = Train().read_settings(item.step)
    operations = (6 if recipe.adapter is None else 4) * recipe.objective.relative_cost
    processes = item.step.placement.get("devices", 1) * item.step.placement.get("nodes", 1)
    return float(operations * size.weights * tokens / _OPERATIONS[_on_gpu(item, size)] / processes)


def _answering(
    item: Planned,
    size: ModelSize,
    steps: Mapping[str, Planned],
    prompts: Mapping[str, Sequence[Prompt]],
) -> float | None:
    asked = 0
    for role, step in item.step.inputs.items():
        if role.startswith("prompts:"):
            counts = prompt_counts(step, steps, prompts)
            if counts is None:
                return None
            asked += counts[0]
    batches = math.ceil(asked / item.step.placement.get("batch_size", 1))
    passes = batches * Generate().read_settings(item.step).max_new_tokens
    return float(passes * size.stored_bytes / _BYTES[_on_gpu(item, size)])
