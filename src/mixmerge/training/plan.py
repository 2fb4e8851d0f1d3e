"""The plan of a training: rows of each step, precision and devices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixmerge.errors import SpecError
from mixmerge.records import ModelFolder
from mixmerge.training import parent
from mixmerge.training.data import TrainingData
from mixmerge.training.kept import too_late
from mixmerge.training.ranks import launched_ranks, on_cpu, pin_one_gpu, precision_of
from mixmerge.training.rewards import Reward
from mixmerge.training.spec import TrainJob, TrainPlacement, TrainSpec


@dataclass(frozen=True)
class Inputs:
    """The checked arguments of `mixmerge.training.run.train`."""

    spec: TrainSpec
    placement: TrainPlacement
    model: ModelFolder
    model_name: str
    rows: Path
    out: Path
    identity: str
    reference_cache: Path | None
    reward: Reward | None = None
    teachers: Mapping[str, ModelFolder] = field(default_factory=dict)
    """The models that teach the rows of each source."""

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.out / "checkpoints"

    @property
    def job(self) -> TrainJob:
        """The job for the processes of a training."""
        return TrainJob(
            model=self.model_name,
            rows=self.rows,
            settings=self.spec,
            placement=self.placement,
            reference_cache=self.reference_cache if self.spec.objective.reference else None,
            teachers={source: str(each.path) for source, each in self.teachers.items()},
        )


@dataclass(frozen=True)
class Plan:
    """What a trainer is built from, besides the inputs."""

    data: TrainingData
    order: npt.NDArray[np.int64]
    """Rows of each step, shape ``(steps, batch_size)``; where the model answers each of them
    several times, shape ``(steps, batch_size / answers)``."""
    micro: int
    """Rows per device and forward pass."""
    accumulation: int
    """Forward passes per step."""
    precision: Literal["float32", "bfloat16"]
    on_cpu: bool
    columns: dict[str, list[Any]]
    """The rows as the trainer gets them, by column."""
    picked: npt.NDArray[np.int64]
    """The rows of all steps, as indices of `columns`, shape ``(steps * batch_size,)``."""

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """Tokens read up to and including each step, shape ``(steps,)``."""
        return np.cumsum(self.data.encoded.read[self.order].sum(axis=1))

    @property
    def steps_per_epoch(self) -> float:
        """Rows / global batch; not always whole."""
        return len(self.data.encoded.read) / self.order.shape[1]


def make_plan(inputs: Inputs, data: TrainingData) -> Plan:
    """Decide what the settings leave open, and check the disk space.

    Raises:
        ResourceError: the disk is too small.
        SpecError: the global batch cannot be split over the processes, or a step to keep is not
            before the last one.
    """
    spec, rows = inputs.spec, len(data.encoded.read)
    if said := too_late(spec.keep_steps, spec.steps(rows)):
        raise SpecError(f"{said}.")
    prompts = spec.batch_size // spec.answers_per_prompt
    order = row_order(rows, prompts, spec.steps(rows), spec.seed)
    pin_one_gpu(inputs.placement)
    cpu = on_cpu(inputs.placement)
    micro, accumulation = inputs.placement.accumulation(spec.batch_size, launched_ranks())
    _check_disk(inputs, len(order))
    order = sorted_within_steps(order, data.encoded.longest)
    columns, picked, arrange = data.encoded.columns, order.ravel(), spec.objective.arrange
    if arrange is not None:
        columns, picked = arrange(columns, order), np.arange(order.size)
    return Plan(
        data=data,
        order=order,
        micro=micro,
        accumulation=accumulation,
        precision=precision_of(spec, cpu=cpu),
        on_cpu=cpu,
        columns=columns,
        picked=picked,
    )


def _check_disk(inputs: Inputs, steps: int) -> None:
    sizes = {"float32": 4, "bfloat16": 2, "float16": 2}
    stored = sizes.get(parent.saved_dtype(inputs.model, "auto"), 4)
    files = sum(file.stat().st_size for file in inputs.model.path.glob("*.safetensors"))
    weights = files // stored
    needed = weights * sizes[parent.saved_dtype(inputs.model, inputs.spec.dtype)]
    needed *= 1 + len(inputs.spec.keep_steps)
    if inputs.spec.adapter is None and inputs.placement.save_steps < steps:
        # Weights and both moments of AdamW in float32; the old checkpoint goes after the new one.
        needed += 2 * weights * 3 * 4
    parent.check_disk(inputs.out, needed)


def row_order(rows: int, batch_size: int, steps: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw the rows of every step: shuffled passes over the rows, split into full batches.

    A batch that reaches the end of a pass continues with the next, so every step has the same
    number of rows and every pass has all rows. Returns indices, shape ``(steps, batch_size)``.
    """
    rng = np.random.default_rng(seed)
    total = steps * batch_size
    passes = [rng.permutation(rows) for _ in range(-(-total // rows))]
    return np.concatenate(passes)[:total].reshape(steps, batch_size)


def sorted_within_steps(
    order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Sort the rows of each step by length, the longest first, to save padding.

    The gradient of a step is a sum over its rows, so their order does not matter. ``order`` has
    shape ``(steps, batch_size)``, ``lengths`` (in tokens) ``(rows,)``.
    """
    by_length = np.argsort(-lengths[order], axis=1, kind="stable")
    return np.take_along_axis(order, by_length, axis=1)
