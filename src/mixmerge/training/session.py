"""One training in this process, which may be one of several ranks."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mixmerge import files
from mixmerge.errors import DeviceMemoryError
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder
from mixmerge.training import parent, resume, trl_compat
from mixmerge.training.card import model_card
from mixmerge.training.curve import Curve
from mixmerge.training.data import TrainingData, read_data
from mixmerge.training.device import on_cpu, pin_one_gpu, precision_of, threads
from mixmerge.training.order import row_order, sorted_within_steps
from mixmerge.training.ranks import is_first_rank, launched_ranks, wait_for_all
from mixmerge.training.reference import ReferenceCache
from mixmerge.training.report import TrainReport
from mixmerge.training.save import save_model
from mixmerge.training.spec import PlacementSpec, TrainSpec
from mixmerge.training.trainer import OnLog, Plan, build_trainer, configure

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True)
class Inputs:
    """What `mixmerge.training.run.train` was called with, checked."""

    spec: TrainSpec
    placement: PlacementSpec
    model: ModelFolder
    model_name: str
    rows: Path
    out: Path
    identity: str
    reference_cache: Path | None


def train_here(inputs: Inputs, progress: Progress) -> None:
    """Train in this process and, as the first rank, write ``out``.

    Raises:
        UserError: see `mixmerge.training.run.train`.
        RuntimeError: the training stopped early, or began with a loss that proves a fault.
    """
    with (
        trl_compat.quiet(),
        trl_compat.labelled_positions_only(),
        threads(inputs.placement),
        parent.explained_full_disk(inputs.out),
        _explained_memory(),
    ):
        started = time.perf_counter()
        data = read_data(inputs.spec, inputs.model, inputs.rows, progress)
        plan = _plan(inputs, data)
        _check_disk(inputs, len(plan.order))
        config = configure(plan)
        if is_first_rank():
            (inputs.out / "report.json").unlink(missing_ok=True)
            resume.claim(plan.checkpoints, inputs.identity)
        wait_for_all()
        checkpoint, resumed_from = resume.latest(plan.checkpoints)
        curve = _curve(inputs, plan, progress)
        cache = _reference(inputs, plan)
        trainer = build_trainer(plan, config, cache, _on_log(plan, curve), progress)
        ready = time.perf_counter()
        with curve.writing(resumed_from):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        _check_finished(trainer.state)
        seconds = (ready - started, time.perf_counter() - ready)
        report = _report(inputs, data, plan, curve, trainer, cache, resumed_from, seconds)
        _finish(inputs, plan, trainer, report)


def _plan(inputs: Inputs, data: TrainingData) -> Plan:
    spec = inputs.spec
    rows = len(data.encoded.read)
    order = row_order(rows, spec.batch_size, spec.steps(rows), spec.seed)
    pin_one_gpu(inputs.placement)
    cpu = on_cpu(inputs.placement)
    micro, accumulation = inputs.placement.accumulation(spec.batch_size, launched_ranks())
    return Plan(
        spec=spec,
        placement=inputs.placement,
        model=inputs.model.path,
        tokenizer=data.tokenizer,
        encoded=data.encoded,
        order=sorted_within_steps(order, data.encoded.longest),
        max_length=data.max_length,
        micro=micro,
        accumulation=accumulation,
        precision=precision_of(spec, cpu=cpu),
        on_cpu=cpu,
        checkpoints=inputs.out / "checkpoints",
    )


def _check_disk(inputs: Inputs, steps: int) -> None:
    sizes = {"float32": 4, "bfloat16": 2, "float16": 2}
    stored = sizes.get(parent.saved_dtype(inputs.model, "auto"), 4)
    weights = parent.weight_bytes(inputs.model) // stored
    needed = weights * sizes[parent.saved_dtype(inputs.model, inputs.spec.dtype)]
    if inputs.spec.adapter is None and inputs.placement.save_steps < steps:
        # Weights and both moments of AdamW in float32; the old checkpoint goes after the new one.
        needed += 2 * weights * 3 * 4
    parent.check_disk(inputs.out, needed)


def _curve(inputs: Inputs, plan: Plan, progress: Progress) -> Curve:
    return Curve(
        inputs.out / "curve.jsonl" if is_first_rank() else None,
        tokens=np.cumsum(plan.encoded.read[plan.order].sum(axis=1)),
        steps_per_epoch=len(plan.encoded.read) / inputs.spec.batch_size,
        progress=progress,
    )


def _reference(inputs: Inputs, plan: Plan) -> ReferenceCache | None:
    names = inputs.spec.objective.reference
    if not names:
        return None
    model, columns = inputs.model.fingerprint(), plan.encoded.columns
    return ReferenceCache(names, inputs.reference_cache, model, columns, plan.precision)


def _on_log(plan: Plan, curve: Curve) -> OnLog:
    check_start = plan.spec.objective.check_start

    def on_log(step: int, logs: dict[str, float]) -> None:
        if check_start is not None and step == 1:
            check_start(logs["loss"], plan.precision)
        curve.add(step, logs)

    return on_log


def _check_finished(state: Any) -> None:
    # A trainer that was told to stop returns as if all were well.
    if state.global_step != state.max_steps:
        raise RuntimeError(
            f"the training stopped at step {state.global_step} of {state.max_steps}; run the same "
            "command again to go on from the last checkpoint"
        )


def _finish(inputs: Inputs, plan: Plan, trainer: Any, report: TrainReport) -> None:
    card = model_card(inputs.spec, report, inputs.model_name)
    save_model(trainer, inputs.model, inputs.out, report.dtype, card)
    if is_first_rank():
        files.write_json(inputs.out / "report.json", report.model_dump(mode="json"))
        shutil.rmtree(plan.checkpoints)
    wait_for_all()


def _report(
    inputs: Inputs,
    data: TrainingData,
    plan: Plan,
    curve: Curve,
    trainer: Any,
    cache: ReferenceCache | None,
    resumed_from: int,
    seconds: tuple[float, float],
) -> TrainReport:
    encoded, order = plan.encoded, plan.order
    return TrainReport(
        identity=inputs.identity,
        method=inputs.spec.method,
        steps=len(order),
        epochs=order.size / len(encoded.read),
        batch_size=inputs.spec.batch_size,
        rows=data.counts,
        tokens=int(encoded.read[order].sum()),
        target_tokens=int(encoded.targets[order].sum()),
        first_loss=curve.first_loss,
        final_loss=curve.final_loss,
        mask=data.mask,
        max_length=data.max_length,
        longest_row=int(encoded.longest.max()),
        precision=plan.precision,
        dtype=parent.saved_dtype(inputs.model, inputs.spec.dtype),
        device=str(trainer.accelerator.device),
        ranks=trainer.accelerator.num_processes,
        per_device_batch=plan.micro,
        accumulation=plan.accumulation,
        sharding=_sharding(trainer),
        reference_reused=cache.reused if cache else None,
        resumed_from=resumed_from,
        setup_seconds=round(seconds[0], 3),
        train_seconds=round(seconds[1], 3),
        versions={name: version(name) for name in _PACKAGES},
    )


def _sharding(trainer: Any) -> Literal["none", "fsdp", "deepspeed"]:
    if trainer.is_deepspeed_enabled:
        return "deepspeed"
    return "fsdp" if trainer.is_fsdp_enabled else "none"


@contextmanager
def _explained_memory() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(str(error)) from None
