"""Direct preference optimisation (DPO)."""

import math
from typing import Any

from pydantic import Field

from mixmerge.records import PreferencePair
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.trl_compat import without_preparation

LOG_2 = math.log(2.0)

# Policy and reference are the same model at the first step, so the loss is -log sigmoid(0) there.
# Only rounding remains: the two passes pad their batches differently.
_START_TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}


class DpoSettings(Settings):
    """DPO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """DPO: strength of the penalty for diverging from the reference, the model trained from."""


def build(common: dict[str, Any], settings: DpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class for encoded rows."""
    from trl import DPOConfig, DPOTrainer

    config = DPOConfig(**common, beta=settings.beta, precompute_ref_log_probs=True)
    return config, without_preparation(DPOTrainer)


def check_start(loss: float, precision: str) -> None:
    """Check that the first loss is ln 2, as policy and reference are equal at the start.

    Raises:
        RuntimeError: it is not: the reference is not the model that the training started from.
    """
    if abs(loss - LOG_2) > _START_TOLERANCE[precision]:
        raise RuntimeError(
            f"DPO began with a loss of {loss:.4f} instead of ln 2 = {LOG_2:.4f}: the reference "
            "log-probabilities are not those of the model trained from. This is a bug in mixmerge "
            "or its libraries; if a reference cache is in use, delete it."
        )


OBJECTIVE = Objective(
    name="dpo",
    paper="Rafailov et al. 2023, arXiv:2305.18290",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=DpoSettings,
    defaults={"learning_rate": 1e-6},
    reference=("ref_chosen_logps", "ref_rejected_logps"),
    check_start=check_start,
    relative_cost=3.0,
)
