"""Odds ratio preference optimisation (ORPO): SFT on the chosen answers, and the odds of both."""

from typing import Any

from pydantic import Field

from mixmerge.records import PreferencePair
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.trl_compat import scoring_answers


class OrpoSettings(Settings):
    """ORPO's own settings."""

    beta: float = Field(default=0.1, gt=0)
    """ORPO: weight of the odds ratio beside the negative log-likelihood; lambda in the paper."""


def build(common: dict[str, Any], settings: OrpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and trainer class for encoded rows."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    return scoring_answers(common, ORPOConfig, ORPOTrainer, **settings.model_dump())


OBJECTIVE = Objective(
    name="orpo",
    paper="Hong et al. 2024, arXiv:2403.07691",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=OrpoSettings,
    defaults={"learning_rate": 1e-6},
    relative_cost=2.0,
)
