"""The one file that knows TRL's names; written against TRL 1.16 and transformers 5.23.

Rows arrive here as token ids with labels, so TRL neither renders, truncates nor drops anything;
it brings its losses and metrics, and the Trainer beneath it the loop, checkpoints and devices.
"""

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mixmerge import files
from mixmerge.progress import Progress
from mixmerge.training.encode import Encoded
from mixmerge.training.ranks import is_first_rank, launched_ranks, wait_for_all
from mixmerge.training.reference import COLUMNS, LogProbs, ReferenceCache
from mixmerge.training.spec import AdapterSpec, PlacementSpec, TrainSpec

OnLog = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Plan:
    """All that a trainer is built from.

    Attributes:
        order: rows of each step, shape ``(steps, batch_size)``.
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
    micro: int
    accumulation: int
    precision: Literal["float32", "bfloat16"]
    on_cpu: bool
    checkpoints: Path


def training_template(tokenizer: Any) -> str | None:
    """Return TRL's copy of the chat template with generation markers; None where it has none."""
    from trl.chat_template_utils import get_training_chat_template

    if not tokenizer.chat_template:
        return None
    try:
        template: str | None = get_training_chat_template(tokenizer)
    except ValueError:
        return None
    return template


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars, advice and telemetry of the libraries while a training runs."""
    import datasets
    import huggingface_hub.constants as hub
    import transformers.utils.logging as hf_logging

    was_bars = datasets.utils.are_progress_bars_disabled()
    was_hub = (hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY)
    was_verbosity = hf_logging.get_verbosity()
    was_trl = logging.getLogger("trl").level
    was_hf_bar = hf_logging.is_progress_bar_enabled()
    was_environment = {name: os.environ.get(name) for name in _QUIET_ENVIRONMENT}
    os.environ.update(_QUIET_ENVIRONMENT)
    datasets.disable_progress_bars()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    # Everything is a local folder by now: a look at the hub could only slow or break the training.
    hub.HF_HUB_OFFLINE = hub.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            # TRL 1.16 reads a property that transformers 5.23 has renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
            yield
    finally:
        hub.HF_HUB_OFFLINE, hub.HF_HUB_DISABLE_TELEMETRY = was_hub
        hf_logging.set_verbosity(was_verbosity)
        logging.getLogger("trl").setLevel(was_trl)
        if was_hf_bar:
            hf_logging.enable_progress_bar()
        if not was_bars:
            datasets.enable_progress_bars()
        for name, value in was_environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def labelled_positions_only() -> Iterator[None]:
    """Let the LM head work on the positions that have a label, on a CPU too.

    TRL does so only where Triton runs; a CPU projects the prompts as well, for nothing. With a
    small model the head is most of the work: half the time of a training (see LOG.md).
    """
    import trl.trainer.utils as trl_utils

    before = getattr(trl_utils, "_use_triton", None)
    if before is None:  # another version of TRL: slower, not wrong
        yield
        return
    trl_utils._use_triton = lambda _device: True
    try:
        yield
    finally:
        trl_utils._use_triton = before


_QUIET_ENVIRONMENT = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}


def configure(plan: Plan) -> Any:
    """Return TRL's arguments for a plan. Joins the process group when there are several ranks."""
    from trl import DPOConfig, SFTConfig

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
        # The order of the rows is ours (see `order`): TRL must read them as they come, uncut.
        "train_sampling_strategy": "sequential",
        "max_length": None,
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
    if spec.method == "sft":
        return SFTConfig(**common)
    return DPOConfig(**common, beta=spec.beta, precompute_ref_log_probs=True)


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

    For DPO the reference log-probabilities are taken from ``cache``, or computed and kept there.
    """
    from transformers import PrinterCallback
    from trl import SFTTrainer

    trainer_class = SFTTrainer if cache is None else _dpo_trainer(cache, progress)
    trainer = trainer_class(
        # A path, never a loaded model: DPO takes its reference from the path's weights.
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


def _dpo_trainer(cache: ReferenceCache, progress: Progress) -> Any:
    """Return a DPOTrainer for rows that are token ids already, with a cache that outlives runs."""
    from trl import DPOTrainer

    class CachedDPOTrainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            known = cache.load()
            if known is None:
                self._batches, self._batches_done = -(-len(dataset) // batch_size), 0
                dataset = super()._precompute_ref_logps(dataset, name, batch_size)
                if self.is_world_process_zero():
                    cache.save({column: np.asarray(dataset[column][:]) for column in COLUMNS})
                return dataset
            return _with_columns(dataset, known)

        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            found = super().compute_ref_log_probs(model, inputs)
            self._batches_done += self.accelerator.num_processes
            done = min(self._batches_done, self._batches)
            progress(done, self._batches, "reference log-probabilities")
            return found

    return CachedDPOTrainer


def _with_columns(dataset: Any, values: LogProbs) -> Any:
    for name in COLUMNS:
        dataset = dataset.add_column(name, values[name])
    return dataset


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
