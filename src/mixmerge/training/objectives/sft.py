"""Supervised fine-tuning (SFT): cross-entropy on the assistant's tokens."""

from typing import Any

from mixmerge.records import Conversation
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives.objective import Objective, Settings


class SftSettings(Settings):
    """SFT has no settings of its own."""

    beta: None = None
    """Always null; kept because it is part of the identity of earlier trainings."""


def build(common: dict[str, Any], settings: SftSettings) -> tuple[Any, type[Any]]:  # noqa: ARG001
    """Return TRL's classes; the trainer uses rows with ``input_ids`` as they are."""
    from trl import SFTConfig, SFTTrainer

    return SFTConfig(**common), SFTTrainer


OBJECTIVE = Objective(
    name="sft",
    paper="Ouyang et al. 2022, arXiv:2203.02155, section 3.5",
    rows=Conversation,
    encode=Encoder.conversations,
    build=build,
    settings=SftSettings,
)
