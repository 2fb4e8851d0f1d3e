"""The TRL trainer of a training: its arguments, its rows in their order, and its callbacks.

Rows arrive here as token ids, so TRL neither renders, truncates nor drops anything; it brings its
losses and metrics, and the Trainer beneath it the loop, checkpoints and devices.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixmerge import files
from mixmerge.progress import Progress
from mixmerge.training import trl_compat
from mixmerge.training.encode import Encoded
from mixmerge.training.ranks import is_first_rank, launched_ranks, wait_for_all
from mixmerge.training.reference import ReferenceCache
from mixmerge.training.spec import AdapterSpec, PlacementSpec, TrainSpec

OnLog = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Plan:
    """All that a trainer is built from.

    Attributes:
        order: rows of each step, shape ``(steps, batch_size)``.
        max_length: longest row accepted, in tokens.
        micro: rows per device and forward pass.
        accumulation: forward passes per step.
        precision: ``float32`` or ``bfloat16``.
        on_cpu: whether no GPU is used.
        checkpoints: folder for unfinished states.
    """

    spec: TrainSpec
    placement: PlacementSpec
    model: Path
    tokenizer: Any
    encoded: Encoded
    order: npt.NDArray[np.int64]
    max_length: int
    micro: int
    accumulation: int
    precision: Literal["float32", "bfloat16"]
    on_cpu: bool
    checkpoints: Path


def configure(plan: Plan) -> Any:
    """Return TRL's arguments for a plan. Joins the process group when there are several ranks."""
    spec, placement = plan.spec, plan.placement
    steps = len(plan.order)
    # The first step of a warm-up has a rate of zero: a single step would train nothing.
    warmup = math.ceil(spec.warmup_ratio * steps) if steps > 1 else 0
    constant = "constant_with_warmup" if warmup else "constant"
    adapter_in_bf16 = spec.adapter is not None and plan.precision == "bfloat16"
    common = {
        "output_dir": str(plan.checkpoints),
        "per_device_train_batch_size": plan.micro,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": steps,
        # The order of the rows is ours (see `order`): TRL must read them as they come.
        "train_sampling_strategy": "sequential",
        # No row is longer, so TRL cuts none.
        "max_length": plan.max_length,
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": constant if spec.schedule == "constant" else spec.schedule,
        "warmup_steps": warmup,
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if placement.save_steps < steps else "no",
        "save_steps": placement.save_steps,
        "save_total_limit": 1,
        **_tracking(plan),
        "disable_tqdm": True,
        "use_cpu": plan.on_cpu,
        "bf16": plan.precision == "bfloat16",
        "activation_checkpointing": placement.activation_checkpointing,
        "dataloader_pin_memory": not plan.on_cpu,
        "ddp_find_unused_parameters": False,
        "ddp_backend": "gloo" if plan.on_cpu and launched_ranks() else None,
        "fsdp": placement.fsdp is not None,
        "fsdp_config": placement.fsdp,
        "deepspeed": str(placement.deepspeed) if placement.deepspeed else None,
        # Trained weights stay in float32; frozen ones need no more than the arithmetic has.
        "model_init_kwargs": {"dtype": "bfloat16" if adapter_in_bf16 else "float32"},
    }
    return spec.objective.arguments(common, spec.own)


def _tracking(plan: Plan) -> dict[str, Any]:
    """Return what the Trainer asks of a tracker; its own integrations do the rest."""
    tracking = plan.placement.tracking
    if tracking is None:
        return {"report_to": "none"}
    tracking.check_installed()
    # Two of the three take the project from the environment only.
    os.environ.setdefault("WANDB_PROJECT", tracking.project)
    os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", tracking.project)
    name = plan.checkpoints.parent.name
    return {"report_to": tracking.to, "project": tracking.project, "run_name": name}


def build_trainer(
    plan: Plan, config: Any, cache: ReferenceCache | None, on_log: OnLog, progress: Progress
) -> Any:
    """Return a trainer that reads the rows in the plan's order and tells ``on_log`` each loss.

    Reference log-probabilities, where the objective has any, come from ``cache`` or go there.
    """
    from transformers import PrinterCallback

    trainer_class = plan.spec.objective.trainer(plan.spec.own)
    if cache is not None:
        trainer_class = trl_compat.keeping_reference(trainer_class, cache, progress)
    trainer = trainer_class(
        # A path, never a loaded model: a reference is taken from the path's weights.
        model=str(plan.model),
        args=config,
        train_dataset=_rows(plan),
        processing_class=plan.tokenizer,
        peft_config=_lora(plan.spec.adapter) if plan.spec.adapter else None,
        callbacks=[_listener(on_log)],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train_dataset = trainer.train_dataset.select(plan.order.ravel())
    return trainer


def _rows(plan: Plan) -> Any:
    """Return the rows as a data set in a file that all ranks, and a resumed run, share.

    TRL keeps the reference log-probabilities of a file beside it; of a data set in memory each
    rank would look for them in a folder of its own.
    """
    from datasets import Dataset, load_from_disk

    folder = plan.checkpoints / "rows"
    if is_first_rank() and not folder.exists():
        with files.whole_folder(folder) as partial:
            Dataset.from_dict(plan.encoded.columns).save_to_disk(partial)
    wait_for_all()
    return load_from_disk(folder)


def _lora(adapter: AdapterSpec) -> Any:
    from peft import LoraConfig

    targets = adapter.targets
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )


def _listener(on_log: OnLog) -> Any:
    from transformers import TrainerCallback

    class Listener(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any
        ) -> None:
            del args, control
            if "loss" in logs:
                on_log(state.global_step, logs)

    return Listener()
