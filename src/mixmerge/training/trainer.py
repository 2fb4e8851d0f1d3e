"""Build the TRL trainer: its arguments, the ordered rows, and callbacks.

Rows are token ids already, so TRL neither formats, truncates nor drops any. TRL contributes losses
and metrics, and the transformers Trainer the loop, checkpoints and devices.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixmerge import files
from mixmerge.training.plan import Inputs, Plan
from mixmerge.training.ranks import is_first_rank, launched_ranks, wait_for_all
from mixmerge.training.spec import TrackingSpec, TrainPlacement

log = logging.getLogger(__name__)

OnLog = Callable[[int, dict[str, float]], None]


def configure(inputs: Inputs, plan: Plan) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class; joins the process group of several ranks."""
    spec, placement = inputs.spec, inputs.placement
    steps = len(plan.order)
    # The first step of a warm-up has a rate of zero: a single step would train nothing.
    warmup = math.ceil(spec.warmup_ratio * steps) if steps > 1 else 0
    constant = "constant_with_warmup" if warmup else "constant"
    adapter_in_bf16 = spec.adapter is not None and plan.precision == "bfloat16"
    common = {
        "output_dir": str(inputs.checkpoints),
        "per_device_train_batch_size": plan.micro,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": steps,
        # The rows are ordered by `row_order`.
        "train_sampling_strategy": "sequential",
        # No row is longer, so TRL truncates none.
        "max_length": plan.data.max_length,
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
        **_tracking(inputs),
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
    if spec.quantized:
        common["model_init_kwargs"]["quantization_config"] = _four_bit(placement, plan.precision)
    return spec.objective.build(common, spec.own)


def _four_bit(placement: TrainPlacement, precision: str) -> dict[str, Any]:
    """Return the quantization of QLoRA (Dettmers et al. 2023, section 3), for transformers."""
    settings = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": precision,
    }
    if placement.fsdp is not None or placement.deepspeed is not None:
        # Weights are sharded only when all of them are stored in the same type.
        settings["bnb_4bit_quant_storage"] = precision
    return settings


def _tracking(inputs: Inputs) -> dict[str, Any]:
    """Return the Trainer's arguments for tracking; `_trackers` adds the integrations."""
    tracking = inputs.placement.tracking
    if tracking is None:
        return {"report_to": "none"}
    tracking.prepare()
    return {"report_to": "none", "project": tracking.project, "run_name": inputs.out.name}


def _trackers(tracking: TrackingSpec | None) -> list[Any]:
    """Return the Trainer's integrations, whose errors do not stop the training."""
    from transformers.integrations import get_reporting_integration_callbacks

    if tracking is None:
        return []
    try:
        made = [kind() for kind in get_reporting_integration_callbacks([tracking.to])]
    except Exception as error:  # noqa: BLE001 - a tracker must not stop the training
        log.warning("tracking stopped: %s: %s", type(error).__name__, error)
        return []
    for callback in made:
        for name in dir(callback):
            if name.startswith("on_"):
                setattr(callback, name, _guarded(callback, getattr(callback, name)))
    return made


def _guarded(callback: Any, event: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if getattr(callback, "failed", False):
            return None
        try:
            return event(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a tracker must not stop the training
            callback.failed = True
            log.warning("tracking stopped: %s: %s", type(error).__name__, error)
            return None

    return guarded


def build_trainer(
    inputs: Inputs, plan: Plan, config: Any, trainer_class: type[Any], on_log: OnLog
) -> Any:
    """Return a trainer that reads the rows in the plan's order and calls ``on_log`` each step."""
    from transformers import PrinterCallback, TrainerCallback

    class Listener(TrainerCallback):
        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any, **_: Any) -> None:
            if "loss" in logs:
                on_log(state.global_step, logs)

    adapter = inputs.spec.adapter
    trainer = trainer_class(
        # A path and not a loaded model, because TRL loads the reference from it.
        model=str(inputs.model.path),
        args=config,
        train_dataset=_rows(inputs.checkpoints / "rows", plan.columns),
        processing_class=plan.data.tokenizer,
        peft_config=adapter.for_peft(inputs.model.path) if adapter else None,
        callbacks=[Listener(), *_trackers(inputs.placement.tracking)],
        **_of_the_objective(inputs, plan),
    )
    if adapter is not None:
        # TRL stores the adapter of a quantized model in bfloat16, and peft modules that are trained
        # whole as the model is; AdamW's updates at a small learning rate are rounded away there.
        for weights in trainer.model.parameters():
            if weights.requires_grad:
                weights.data = weights.data.float()
    trainer.remove_callback(PrinterCallback)
    trainer.train_dataset = trainer.train_dataset.select(plan.picked)
    return trainer


def _of_the_objective(inputs: Inputs, plan: Plan) -> dict[str, Any]:
    """Return the arguments of a trainer class besides those of every trainer."""
    found: dict[str, Any] = {}
    if inputs.spec.objective.online:
        found["stops"] = plan.data.stops
    if inputs.spec.objective.teachers:
        found["teachers"] = inputs.teachers
        found["in_turn"] = inputs.placement.teachers_in_turn
    return found


def _rows(folder: Path, columns: dict[str, list[Any]]) -> Any:
    """Return the rows as a data set on disk that all ranks, and a resumed run, share.

    TRL caches reference log-probabilities beside such a data set; for one in memory, each rank
    would look in a different folder.
    """
    from datasets import Dataset, load_from_disk

    if is_first_rank() and not folder.exists():
        with files.whole_folder(folder) as partial:
            Dataset.from_dict(columns).save_to_disk(partial)
    wait_for_all()
    return load_from_disk(folder)
