"""Contrastive preference optimisation (CPO): pairs, and the likelihood of the chosen answers."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mixmerge.records import PreferencePair
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.trl_compat import scoring_answers


class CpoSettings(Settings):
    """CPO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """CPO: scale of the rewards, the answers' log-probabilities."""
    loss_type: Literal["sigmoid", "hinge", "ipo"] = "sigmoid"
    """CPO: the loss on the difference of the rewards."""
    cpo_alpha: float = Field(default=1.0, ge=0)
    """CPO: weight of the negative log-likelihood of the chosen answers."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """CPO, ``sigmoid``: the share of pairs whose labels are taken to be wrong."""

    @model_validator(mode="after")
    def _is_used(self) -> Self:
        if self.label_smoothing and self.loss_type != "sigmoid":
            raise ValueError(f"`label_smoothing` is not used by `loss_type: {self.loss_type}`")
        return self


def build(common: dict[str, Any], settings: CpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class for encoded rows."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return scoring_answers(common, CPOConfig, CPOTrainer, **settings.model_dump())


OBJECTIVE = Objective(
    name="cpo",
    paper="Xu et al. 2024, arXiv:2401.08417",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=CpoSettings,
    defaults={"learning_rate": 1e-6},
    relative_cost=2.0,
)
