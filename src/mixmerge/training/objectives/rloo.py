"""REINFORCE leave-one-out (RLOO): each answer is compared with the mean of the others."""

from typing import Any

from pydantic import Field

from mixmerge.records import TrainingPrompt
from mixmerge.training.objectives.grpo import RewardedSettings, own
from mixmerge.training.objectives.objective import Objective
from mixmerge.training.online import answering, arguments
from mixmerge.training.rewards import to_be_judged


class RlooSettings(RewardedSettings):
    """RLOO's own settings."""

    num_generations: int = Field(default=2, ge=2)
    """Of objectives with rewards: answers to each prompt, 8 for GRPO and 2 for RLOO. `batch_size`
    counts answers."""
    beta: float = Field(default=0.05, ge=0)
    """RLOO: what each answer's reward loses for the KL divergence from the model trained from; 0
    needs no reference."""
    normalize_advantages: bool = False
    """RLOO: shift and scale the advantages of a step to mean 0 and standard deviation 1."""
    reward_clip_range: tuple[float, float] | None = None
    """RLOO: the lowest and the highest reward; others are clipped. By default none is."""


def build(common: dict[str, Any], settings: RlooSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and a trainer class that answers encoded prompts."""
    from trl import RLOOConfig, RLOOTrainer

    return RLOOConfig(**arguments(common), **own(settings)), answering(RLOOTrainer)


OBJECTIVE = Objective(
    name="rloo",
    paper="Ahmadian et al. 2024, arXiv:2402.14740",
    rows=TrainingPrompt,
    encode=to_be_judged,
    build=build,
    settings=RlooSettings,
    defaults={"learning_rate": 1e-6},
    answer_length=lambda settings: settings.max_completion_length,
    answers_per_prompt=lambda settings: settings.num_generations,
    rewarded=True,
    passes=lambda settings: (int(settings.beta > 0), 1),
    # The advantages of the answers to a prompt sum to zero, and each probability ratio is 1.
    first_loss=lambda _: (0.0, 0.0),
    relative_cost=6.0,
)
