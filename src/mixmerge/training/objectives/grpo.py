"""Group relative policy optimisation (GRPO): answers are compared with others to one prompt."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mixmerge.records import TrainingPrompt
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.online import answering, arguments
from mixmerge.training.rewards import to_be_judged


class RewardedSettings(Settings):
    """The settings that all objectives with rewards have."""

    reward: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)
    """Of objectives with rewards: the weight of each of the study's axes. An answer's reward is the
    weighted sum of what the judges of these axes say, as shares from 0 (worst) to 1 (best)."""
    max_completion_length: int = Field(default=512, ge=1)
    """Where the model answers in training: the most tokens of an answer."""
    temperature: float = Field(default=1.0, gt=0)
    """Where the model answers in training: the temperature of the sampling."""
    mask_truncated_completions: bool = False
    """Of objectives with rewards: leave answers out of the loss that reached the limit."""


class GrpoSettings(RewardedSettings):
    """GRPO's own settings."""

    num_generations: int = Field(default=8, ge=2)
    """Of objectives with rewards: answers to each prompt, 8 for GRPO and 2 for RLOO. `batch_size`
    counts answers."""
    beta: float = Field(default=0.0, ge=0)
    """GRPO: weight of the KL divergence from the model trained from; 0 needs no reference."""
    loss_type: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    """GRPO: how token losses are averaged: over all tokens of the step (``dapo``), in each answer
    first (``grpo``), by `max_completion_length` (``dr_grpo``), over a forward pass (``bnpo``)."""
    scale_rewards: Literal["group", "batch", "none"] = "group"
    """GRPO: divide rewards by their standard deviation among the answers to a prompt, in the step,
    or not at all."""


def build(common: dict[str, Any], settings: GrpoSettings) -> tuple[Any, type[Any]]:
    """Return TRL's configuration and a trainer class that answers encoded prompts."""
    from trl import GRPOConfig, GRPOTrainer

    return GRPOConfig(**arguments(common), **own(settings)), answering(GRPOTrainer)


def own(settings: RewardedSettings) -> dict[str, Any]:
    """Return an objective's own arguments; weights are applied before TRL sees the rewards."""
    return settings.model_dump(exclude={"reward"})


def least_rows(settings: GrpoSettings, batch_size: int) -> int:
    """Return the whole batch where the loss is an average over each forward pass."""
    return batch_size if settings.loss_type == "bnpo" else 1


OBJECTIVE = Objective(
    name="grpo",
    paper="Shao et al. 2024, arXiv:2402.03300",
    rows=TrainingPrompt,
    encode=to_be_judged,
    build=build,
    settings=GrpoSettings,
    defaults={"learning_rate": 1e-6},
    answer_length=lambda settings: settings.max_completion_length,
    answers_per_prompt=lambda settings: settings.num_generations,
    rewarded=True,
    passes=lambda settings: (int(settings.beta > 0), 0),
    least_rows=least_rows,
    relative_cost=6.0,
)
