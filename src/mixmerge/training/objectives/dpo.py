"""Direct preference optimisation (DPO)."""

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mixmerge.records import PreferencePair
from mixmerge.spec_model import quoted
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.trl_compat import without_preparation

LOG_2 = math.log(2.0)

LossType = Literal[
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
]
"""TRL's names of DPO's losses; its documentation has their papers."""
_SMOOTHED = {"robust", "exo_pair", "aot", "aot_unpaired"}
_OF_A_BATCH = {"aot", "aot_unpaired", "sft"}


class DpoSettings(Settings):
    """DPO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """DPO: strength of the penalty for diverging from the reference, the model trained from."""
    loss_type: LossType | tuple[LossType, ...] = Field(
        default="sigmoid", exclude_if=lambda kind: kind == "sigmoid"
    )
    """DPO: the loss on a pair's log-ratios, or several that are added up. ``sft`` is the negative
    log-likelihood of the chosen answers."""
    loss_weights: tuple[float, ...] | None = Field(
        default=None, exclude_if=lambda weights: weights is None
    )
    """DPO: a weight for each of several losses; by default 1."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, exclude_if=lambda share: not share)
    """DPO, ``robust``, ``exo_pair`` and ``aot``: the share of pairs whose labels are taken to be
    wrong."""
    discopop_tau: float = Field(default=0.05, gt=0, exclude_if=lambda tau: tau == 0.05)
    """DPO, ``discopop``: temperature of the mixture of its two losses."""

    @property
    def losses(self) -> dict[LossType, float]:
        """The losses with their weights."""
        kinds = (self.loss_type,) if isinstance(self.loss_type, str) else self.loss_type
        return dict(zip(kinds, self.loss_weights or [1.0] * len(kinds), strict=True))

    @field_validator("loss_type")
    @classmethod
    def _listed_once(cls, kinds: LossType | tuple[LossType, ...]) -> Any:
        if isinstance(kinds, str):
            return kinds
        if not kinds or len({*kinds}) < len(kinds):
            raise ValueError("name one loss, or several different ones")
        return kinds if kinds[1:] else kinds[0]

    @model_validator(mode="after")
    def _settings_are_used(self) -> Self:
        several = 1 if isinstance(self.loss_type, str) else len(self.loss_type)
        if self.loss_weights is not None and len(self.loss_weights) != several:
            raise ValueError(f"`loss_weights` must have a weight for each loss: {several}")
        kinds = self.losses
        if self.label_smoothing and not {*kinds} & _SMOOTHED:
            raise ValueError(
                f"`label_smoothing` is used by `loss_type` {quoted(sorted(_SMOOTHED))}, not by "
                f"{quoted(kinds)}"
            )
        if "exo_pair" in kinds and not self.label_smoothing:
            raise ValueError("`loss_type: exo_pair` needs a `label_smoothing` above 0, e.g. 1e-3")
        if self.discopop_tau != 0.05 and "discopop" not in kinds:
            raise ValueError("`discopop_tau` belongs to `loss_type: discopop`")
        return self


def build(common: dict[str, Any], settings: DpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class for encoded rows."""
    from trl import DPOConfig, DPOTrainer

    own = settings.model_dump() | {"loss_type": [*settings.losses]}
    config = DPOConfig(**common, **own, precompute_ref_log_probs=True)
    return config, without_preparation(DPOTrainer)


def least_rows(settings: DpoSettings, batch_size: int) -> int:
    """Return the fewest rows of a forward pass: the whole batch, where the loss is no sum of pairs.

    AOT sorts the log-ratios of a batch, and ``sft`` averages over the tokens of one.
    """
    return batch_size if {*settings.losses} & _OF_A_BATCH else 1


def first_loss(settings: DpoSettings) -> tuple[float, float] | None:
    """Return the loss where policy and reference are equal; None where it depends on the rows."""
    smooth, beta = settings.label_smoothing, settings.beta
    known = {
        "hinge": 1.0,
        "ipo": 1 / (2 * beta) ** 2,
        "nca_pair": 2 * LOG_2,
        "bco_pair": 2 * LOG_2,
        "sppo_hard": 2 * (0.5 / beta) ** 2,
        "apo_zero": 1.0,
        "apo_down": 1.0,
        "discopop": (LOG_2 + 1) / 2,
    }
    if "exo_pair" in settings.losses:
        known["exo_pair"] = -LOG_2 - (math.log1p(-smooth) + math.log(smooth)) / 2
    if "sft" in settings.losses:
        return None
    value = sum(weight * known.get(kind, LOG_2) for kind, weight in settings.losses.items())
    return value, value


OBJECTIVE = Objective(
    name="dpo",
    paper="Rafailov et al. 2023, arXiv:2305.18290",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=DpoSettings,
    defaults={"learning_rate": 1e-6},
    reference=("ref_chosen_logps", "ref_rejected_logps"),
    least_rows=least_rows,
    first_loss=first_loss,
    relative_cost=3.0,
)
