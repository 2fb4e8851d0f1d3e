"""Changes to TRL's behaviour: less output, speed on CPUs, encoded rows, cached references.

Written for TRL 1.16 and transformers 5.23; the rest of mixmerge uses TRL as documented.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mixmerge.progress import Progress
from mixmerge.training.reference import ReferenceCache

_FEW_LOGITS = 2**26
"""Logits kept whole on a CPU: 256 MiB in float32."""
_QUIET_ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRL_EXPERIMENTAL_SILENCE": "1",  # where it keeps the trainers of CPO, SimPO and ORPO
}


def training_template(tokenizer: Any) -> str | None:
    """Return TRL's copy of the chat template with generation markers, if it has one."""
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

    # On a CPU bitsandbytes warns that it looked for faster kernels on the hub.
    loud = [logging.getLogger(name) for name in ("trl", "bitsandbytes")]
    with ExitStack() as undo, warnings.catch_warnings():
        # TRL 1.16 uses properties and methods that transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing\w*` is deprecated")
        for name, value in _QUIET_ENVIRONMENT.items():
            if name in os.environ:
                undo.callback(os.environ.update, {name: os.environ[name]})
            else:
                undo.callback(os.environ.pop, name, None)
            os.environ[name] = value
        if not datasets.utils.are_progress_bars_disabled():
            undo.callback(datasets.enable_progress_bars)
        if hf_logging.is_progress_bar_enabled():
            undo.callback(hf_logging.enable_progress_bar)
        undo.callback(hf_logging.set_verbosity, hf_logging.get_verbosity())
        for logger in loud:
            undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        # The model is a local folder by now; requests to the hub would only be slow or fail.
        for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
            undo.enter_context(replaced(hub, name, True))
        datasets.disable_progress_bars()
        hf_logging.disable_progress_bar()
        hf_logging.set_verbosity_error()
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute, if this version of the library has it."""
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def labelled_positions_only() -> Iterator[None]:
    """Apply the LM head only to positions with a label, on a CPU too.

    TRL does so only with Triton; without it, prompts are projected as well. With a small model the
    head is most of the work: half the time of a training (see LOG.md).
    """
    import trl.trainer.distillation_trainer as distillation
    import trl.trainer.utils as trl_utils

    chunked = trl_utils._ChunkedLogProbFunction
    with (
        replaced(trl_utils, "_use_triton", lambda _device: True),
        replaced(distillation, "_use_triton", lambda _device: True),
        replaced(trl_utils, "_ChunkedLogProbFunction", _whole_where_small(chunked)),
    ):
        yield


def _whole_where_small(chunked: Any) -> Any:
    """Return TRL's function for log-probabilities, which on a CPU keeps logits that are few.

    TRL computes them in chunks and again in the backward pass, to save memory: with the testbed's
    model, a third of the time of a step.
    """
    import torch
    from torch.nn.functional import cross_entropy, linear

    class WholeWhereSmall:
        @staticmethod
        def apply(hidden: Any, weight: Any, bias: Any, targets: Any, *rest: Any) -> tuple[Any, ...]:
            temperature, _, softcap, scale, outputs = rest
            small = hidden.device.type == "cpu" and len(targets) * len(weight) <= _FEW_LOGITS
            if not small or softcap is not None:
                whole: tuple[Any, ...] = chunked.apply(hidden, weight, bias, targets, *rest)
                return whole
            logits = linear(hidden, weight, bias).float() * (scale / temperature)
            log_probs = -cross_entropy(logits, targets, reduction="none")
            total = logits.gather(-1, targets[:, None])[:, 0] - log_probs
            made = {
                "entropy": lambda: total - (torch.exp(logits - total[:, None]) * logits).sum(-1),
                "log_sum_sq_probs": lambda: (2 * logits.log_softmax(-1)).logsumexp(-1).detach(),
                "mean_logits": lambda: logits.detach().mean(-1),
                "is_top1": lambda: logits.argmax(-1) == targets,
            }
            return log_probs, *(make() if name in outputs else None for name, make in made.items())

    return WholeWhereSmall


@contextmanager
def four_bit_weights_keep_gradients() -> Iterator[None]:
    """Keep bitsandbytes from repacking 4-bit weights for inference.

    On CPUs with AVX-512 BF16 it does so in the first forward pass without gradients, such as that
    of DPO's reference. Repacked weights stay so; they are less exact and pass no gradient on.
    """
    from bitsandbytes.nn import modules

    with replaced(modules, "has_avx512bf16", bool):
        yield


def without_preparation(trainer: type[Any]) -> type[Any]:
    """Return a TRL trainer class that uses encoded rows as they are."""

    class Prepared(trainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    return Prepared


def keeping_reference(trainer: type[Any], cache: ReferenceCache, progress: Progress) -> type[Any]:
    """Return a TRL trainer class that caches reference log-probabilities.

    If the cache has none, they are computed, reported to ``progress``, and saved.
    """

    class Keeping(trainer):
        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:
            known = cache.load()
            if known is None:
                self._batches, self._batches_done = -(-len(dataset) // batch_size), 0
                dataset = super()._precompute_ref_logps(dataset, name, batch_size)
                if self.is_world_process_zero():
                    cache.save({column: np.asarray(dataset[column][:]) for column in cache.names})
                return dataset
            for column in cache.names:
                dataset = dataset.add_column(column, known[column])
            return dataset

        def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
            found = super().compute_ref_log_probs(model, inputs)
            self._batches_done += self.accelerator.num_processes
            done = min(self._batches_done, self._batches)
            progress(done, self._batches, "reference log-probabilities")
            return found

    return Keeping


def scoring_answers(
    common: dict[str, Any], config: type[Any], trainer: type[Any], **own: Any
) -> tuple[Any, type[Any]]:
    """Return a configuration and a trainer class for CPO's and ORPO's losses of encoded pairs.

    TRL 1.16 projects prompts and padding to the vocabulary too, and averages the log-likelihood of
    the chosen answers over one forward pass (in ORPO, with that of the prompts). Here only answers
    are scored, as in TRL's DPO, and the average is over the answers of the whole step: a loss does
    not depend on how a step is split over passes and devices.
    """
    from trl.trainer.utils import add_fused_lm_head

    class ScoringAnswers(trainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            adapted = hasattr(self.model, "get_base_model")
            model = self.model.get_base_model() if adapted else self.model
            add_fused_lm_head(model, outputs=("log_probs", "mean_logits"))
            names = [f"{side}_{what}" for side in _SIDES for what in _PARTS]
            self.train_dataset: Any = self.train_dataset.select_columns(names)

        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:  # noqa: ARG002
            prompt = feature["prompt_ids"]
            columns: dict[str, Any] = {}
            for side in _SIDES:
                answer = feature[f"{side}_ids"]
                columns[f"{side}_input_ids"] = prompt + answer
                columns[f"{side}_attention_mask"] = [1] * len(prompt + answer)
                columns[f"{side}_labels"] = [-100] * len(prompt) + answer
            return columns

        def get_batch_samples(self, *args: Any) -> Any:
            samples, items = super().get_batch_samples(*args)
            counts = [(sample["chosen_labels"] != -100).sum() for sample in samples]
            if counts:
                count = self.accelerator.gather(sum(counts)).sum()
                self._mean_tokens = count / (len(counts) * self.accelerator.num_processes)
            return samples, items

        def concatenated_forward(self, model: Any, batch: Any) -> tuple[Any, ...]:
            inputs = self.concatenated_inputs(
                batch,
                padding_value=self.processing_class.pad_token_id,
                device=self.accelerator.device,
            )
            labels = inputs["concatenated_labels"]
            routers = {"output_router_logits": True} if self.aux_loss_enabled else {}
            outputs = model(
                inputs["concatenated_input_ids"],
                attention_mask=inputs["concatenated_attention_mask"],
                labels=labels,
                fused_lm_head=True,
                **routers,
            )
            sums = outputs.log_probs.sum(-1)
            chosen, _ = sums.chunk(2)
            # ORPO has no `loss_type`; like SimPO and IPO, it compares means over tokens.
            means = getattr(self, "loss_type", "simpo") in ("ipo", "simpo")
            scores = sums / (labels[:, 1:] != -100).sum(-1) if means else sums
            likelihood = -chosen.sum() / self._mean_tokens
            logits = outputs.mean_logits.chunk(2)
            auxiliary = (outputs.aux_loss,) if self.aux_loss_enabled else ()
            return (*scores.chunk(2), *logits, likelihood, *auxiliary)

    # Left out, TRL would place the model before the Trainer does.
    common["model_init_kwargs"]["device_map"] = None
    return config(**common, **own), ScoringAnswers


_SIDES = ("chosen", "rejected")
_PARTS = ("input_ids", "attention_mask", "labels")
