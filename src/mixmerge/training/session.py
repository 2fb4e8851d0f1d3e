"""Run a training in this process, which may be one of several ranks."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge import files
from mixmerge.errors import DeviceMemoryError
from mixmerge.progress import Progress
from mixmerge.training import parent, resume, trl_compat
from mixmerge.training.data import read_data
from mixmerge.training.kept import KEPT, kept_at, untouched_randomness
from mixmerge.training.plan import Inputs, Plan, make_plan
from mixmerge.training.ranks import is_first_rank, threads, wait_for_all
from mixmerge.training.reference import ReferenceCache
from mixmerge.training.report import Curve, TrainReport, model_card
from mixmerge.training.rewards import Answers, rewarded
from mixmerge.training.teachers import check_sources, check_teachers
from mixmerge.training.trainer import build_trainer, configure

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "tokenizers")


def train_here(inputs: Inputs, progress: Progress) -> None:
    """Train in this process; the first rank writes ``out``.

    Raises:
        UserError: see `mixmerge.training.run.train`.
        RuntimeError: the training stopped early, or the objective's check of the first loss failed.
    """
    with (
        trl_compat.quiet(),
        trl_compat.labelled_positions_only(),
        trl_compat.four_bit_weights_keep_gradients() if inputs.spec.quantized else nullcontext(),
        threads(inputs.placement),
        parent.explained_full_disk(inputs.out),
        _explained_memory(),
    ):
        started = time.perf_counter()
        data = read_data(inputs.spec, inputs.model, inputs.rows, progress)
        if inputs.teachers:
            check_teachers(inputs.model, inputs.teachers)
            check_sources(data.encoded.columns["source"], inputs.teachers)
        plan = make_plan(inputs, data)
        config, trainer_class = configure(inputs, plan)
        if is_first_rank():
            (inputs.out / "report.json").unlink(missing_ok=True)
            resume.claim(inputs.checkpoints, inputs.identity)
        wait_for_all()
        checkpoint, resumed_from = resume.latest(inputs.checkpoints)
        if is_first_rank() and checkpoint is None:
            shutil.rmtree(inputs.out / KEPT, ignore_errors=True)
        curve_file = inputs.out / "curve.jsonl" if is_first_rank() else None
        objective = inputs.spec.objective
        tokens = None if objective.online else plan.tokens
        curve = Curve(curve_file, len(plan.order), tokens, plan.steps_per_epoch, progress)
        names = objective.reference
        cache = None
        if names:
            model, columns = inputs.model.fingerprint(), plan.columns
            arithmetic = f"{plan.precision}, 4-bit" if inputs.spec.quantized else plan.precision
            cache = ReferenceCache(names, inputs.reference_cache, model, columns, arithmetic)
            trainer_class = trl_compat.keeping_reference(trainer_class, cache, progress)

        kept = inputs.reward is not None and is_first_rank()
        answers = Answers(inputs.out / "answers.jsonl" if kept else None)
        if inputs.reward is not None:
            trainer_class = rewarded(
                trainer_class, inputs.reward, inputs.spec.own.reward, answers, plan.data.stops
            )

        def on_log(step: int, logs: dict[str, float]) -> None:
            if step == 1:
                objective.check_first_loss(logs["loss"], plan.precision, inputs.spec.own)
            curve.add(step, logs)
            # Before the trainer saves its state: a state has the kept weights up to its step.
            if step in inputs.spec.keep_steps:
                with untouched_randomness():
                    _write(kept_at(inputs.out, step), step, made)

        trainer = build_trainer(inputs, plan, config, trainer_class, on_log)
        trained = _adapter_weights(trainer) if inputs.spec.adapter else inputs.model.weights
        times = (started, time.perf_counter())
        made = _Made(inputs, plan, trainer, curve, answers, cache, trained, resumed_from, times)
        with curve.writing(resumed_from), answers.writing(resumed_from):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        _check_finished(trainer.state)
        _write(inputs.out, len(plan.order), made)
        if is_first_rank():
            shutil.rmtree(inputs.checkpoints)
        wait_for_all()


def _check_finished(state: Any) -> None:
    # A trainer that was told to stop returns without an error.
    if state.global_step != state.max_steps:
        raise RuntimeError(
            f"the training stopped at step {state.global_step} of {state.max_steps}; run the same "
            "command again to resume from the last checkpoint"
        )


@dataclass(frozen=True)
class _Made:
    """A training, and what its report is made from."""

    inputs: Inputs
    plan: Plan
    trainer: Any
    curve: Curve
    answers: Answers
    cache: ReferenceCache | None
    trained: int
    """Weights that are trained."""
    resumed_from: int
    times: tuple[float, float]
    """When the process began, and when it began to train."""


def _write(folder: Path, steps: int, made: _Made) -> None:
    """Write the model after the first steps, and then their report; every rank calls this."""
    inputs, data = made.inputs, made.plan.data
    report = _report(made, made.plan.order[:steps])
    said = (*report.advice, *made.answers.notes(inputs.spec.answers_per_prompt))
    report = report.model_copy(update={"advice": said})
    card = model_card(inputs.spec, report, inputs.model_name)
    stops = data.stops if data.new_stops else ()
    parent.save_model(made.trainer, inputs.model, folder, report.dtype, card, stops)
    if is_first_rank():
        files.write_json(folder / "report.json", report.model_dump(mode="json"))
    wait_for_all()


def _report(made: _Made, order: npt.NDArray[np.int64]) -> TrainReport:
    """Return the report of the steps with these rows, which are the first ones."""
    inputs, plan, curve, trainer = made.inputs, made.plan, made.curve, made.trainer
    started, ready = made.times
    encoded = plan.data.encoded
    objective, tokens = inputs.spec.objective, curve.points[-1].tokens
    generated = sum(point.generated or 0 for point in curve.points)
    reference, forward = objective.untrained_tokens(encoded.read, order)
    if objective.online:
        # Each answer is written in passes over its prompt and its tokens.
        passes = objective.passes(inputs.spec.own) if objective.passes else (0, 0)
        written = objective.writes(inputs.spec.own)
        reference, forward = passes[0] * tokens, (written + passes[1]) * tokens
    packages = (*_PACKAGES, "bitsandbytes") if inputs.spec.quantized else _PACKAGES
    fsdp = "fsdp" if trainer.is_fsdp_enabled else "none"
    return TrainReport(
        identity=inputs.identity,
        method=inputs.spec.method,
        steps=len(order),
        epochs=order.size / len(encoded.read),
        batch_size=inputs.spec.batch_size,
        rows=plan.data.counts,
        left_out=plan.data.left_out,
        new_stops=plan.data.new_stops,
        advice=plan.data.advice,
        date=plan.data.date,
        tokens=tokens,
        target_tokens=generated or int(encoded.targets[order].sum()),
        reference_tokens=reference,
        forward_tokens=forward,
        generated_tokens=generated,
        teacher_tokens=curve.teacher_tokens,
        teacher_weights={source: each.weights for source, each in inputs.teachers.items()},
        unfinished=sum(point.unfinished or 0 for point in curve.points),
        weights=inputs.model.weights,
        trained_weights=made.trained,
        first_loss=curve.points[0].loss,
        final_loss=curve.final_loss,
        mask=plan.data.mask,
        max_length=plan.data.max_length,
        longest_row=int(encoded.longest.max()),
        precision=plan.precision,
        dtype=parent.saved_dtype(inputs.model, inputs.spec.dtype),
        device=str(trainer.accelerator.device),
        ranks=trainer.accelerator.num_processes,
        per_device_batch=plan.micro,
        accumulation=plan.accumulation,
        sharding="deepspeed" if trainer.is_deepspeed_enabled else fsdp,
        quantized=inputs.spec.quantized,
        reference_reused=made.cache.reused if made.cache else None,
        resumed_from=made.resumed_from,
        setup_seconds=round(ready - started, 3),
        train_seconds=round(time.perf_counter() - ready, 3),
        versions={name: version(name) for name in packages},
    )


def _adapter_weights(trainer: Any) -> int:
    """Count before the training, since FSDP splits the weights then; DeepSpeed has done so."""
    trained = [each for each in trainer.model.parameters() if each.requires_grad]
    return sum(getattr(each, "ds_numel", each.numel()) for each in trained)


@contextmanager
def _explained_memory() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(str(error)) from None
