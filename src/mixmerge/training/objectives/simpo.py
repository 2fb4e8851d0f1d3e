"""SimPO: the chosen answer over the rejected one by mean log-probability."""

from typing import Any

from pydantic import Field

from mixmerge.records import PreferencePair
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.trl_compat import scoring_answers


class SimpoSettings(Settings):
    """SimPO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """SimPO: scale of the rewards, mean log-probabilities per token. The paper uses 2 to 10."""
    simpo_gamma: float = Field(default=0.5, ge=0)
    """SimPO: by how much the chosen answer's reward should be the higher. The paper uses 0.3 to 1.6
    with its betas."""
    cpo_alpha: float = Field(default=0.0, ge=0)
    """SimPO: weight of the negative log-likelihood of the chosen answers, CPO's addition."""


def build(common: dict[str, Any], settings: SimpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class for encoded rows."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return scoring_answers(
        common, CPOConfig, CPOTrainer, loss_type="simpo", **settings.model_dump()
    )


OBJECTIVE = Objective(
    name="simpo",
    label="SimPO",
    paper="Meng et al. 2024, arXiv:2405.14734",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=SimpoSettings,
    defaults={"learning_rate": 1e-6},
    relative_cost=2.0,
)
