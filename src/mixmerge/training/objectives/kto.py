"""Kahneman-Tversky optimisation (KTO): single answers, each with a label of good or bad."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from mixmerge.records import LabelledCompletion, contrasted
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Columns, Objective, Settings, Tokens
from mixmerge.training.trl_compat import without_preparation

_RECOMMENDED = (1.0, 1.33)
"""Weight of all good answers over that of all bad ones: equation 8 of the paper, as TRL has it."""


class KtoSettings(Settings):
    """KTO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """KTO: strength of the penalty for diverging from the reference, the model trained from."""
    desirable_weight: float = Field(default=1.0, gt=0)
    """KTO: weight of the losses of good answers."""
    undesirable_weight: float = Field(default=1.0, gt=0)
    """KTO: weight of the losses of bad answers."""


def build(common: dict[str, Any], settings: KtoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and a trainer class that estimates the KL once per step."""
    import torch
    from trl import KTOConfig, KTOTrainer

    class StepwiseKl(without_preparation(KTOTrainer)):  # type: ignore[misc]
        def get_batch_samples(self, *args: Any) -> Any:
            # TRL estimates the KL from the rows of one forward pass, so that the loss would depend
            # on how a step is split. Here all rows of the step count, before any of them is trained
            # on. The trainer subtracts the reference from the policy: it gets the difference and 0.
            samples, items = super().get_batch_samples(*args)
            found = []
            for number, sample in enumerate(samples):
                inputs = samples[number] = self._prepare_inputs(sample)
                policy = super()._compute_kl_logps(self.model_wrapped, inputs)
                found.append(policy - inputs["ref_KL_logps"])
                inputs["ref_KL_logps"] = torch.zeros_like(policy)
            self._kl = self.accelerator.gather(torch.cat(found)).mean() if found else None
            return samples, items

        def _compute_kl_logps(self, model: Any, batch: Any) -> Any:  # noqa: ARG002
            return self._kl + batch["ref_KL_logps"]

    own = settings.model_dump()
    return KTOConfig(**common, **own, precompute_ref_log_probs=True), StepwiseKl


def arrange(columns: Columns, order: npt.NDArray[np.int64]) -> Columns:
    """Return the rows of all steps, each with the answer to another prompt of its step.

    The KL is estimated from these mismatched answers (section 4.1 of the paper). They are half a
    batch apart, since rows of a step are sorted by length: copies of one row, and the two answers
    of a pair, are often neighbours.
    """
    other = np.roll(order, max(1, order.shape[1] // 2), axis=1).ravel()
    laid_out = {name: [cells[row] for row in order.ravel()] for name, cells in columns.items()}
    return laid_out | {"KL_completion_ids": [columns["completion_ids"][row] for row in other]}


def check_rows(columns: Columns, settings: KtoSettings) -> Sequence[str]:
    """Return advice if the weights of good and bad answers are out of the recommended range.

    Raises:
        ValueError: all labels are equal.
    """
    contrasted(columns["label"])
    good = sum(columns["label"])
    bad = len(columns["label"]) - good
    ratio = settings.desirable_weight * good / (settings.undesirable_weight * bad)
    low, high = _RECOMMENDED
    if low - 0.005 <= ratio <= high + 0.005:
        return ()
    least, most = (bound * settings.undesirable_weight * bad / good for bound in _RECOMMENDED)
    advice = (
        f"{good} good and {bad} bad answers: with their weights, {ratio:.2f} to 1; recommended is "
        f"{low:g} to {high:g} (`desirable_weight` from {least:.2f} to {most:.2f}, with "
        f"`undesirable_weight: {settings.undesirable_weight:g}`)."
    )
    return (advice,)


def untrained(tokens: Tokens, order: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return the tokens of reference and KL: the mismatched answers of a step are its answers."""
    of_steps = int(tokens[order].sum())
    return 2 * of_steps, of_steps


def first_loss(settings: KtoSettings) -> tuple[float, float]:
    """Return half the least and half the greatest weight: rewards and KL are 0 at the start."""
    weights = settings.desirable_weight, settings.undesirable_weight
    return min(weights) / 2, max(weights) / 2


OBJECTIVE = Objective(
    name="kto",
    paper="Ethayarajh et al. 2024, arXiv:2402.01306",
    rows=LabelledCompletion,
    encode=Encoder.labelled,
    build=build,
    settings=KtoSettings,
    defaults={"learning_rate": 1e-6},
    reference=("ref_logps", "ref_KL_logps"),
    check_rows=check_rows,
    arrange=arrange,
    untrained=untrained,
    # With one row there is no other answer to estimate the KL from; TRL refuses it, too.
    least_rows=lambda _settings, _batch_size: 2,
    first_loss=first_loss,
    relative_cost=2.0,
)
