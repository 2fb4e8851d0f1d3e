"""The training objectives, a short file each. To add one, write its file and add it here."""

from mixmerge.training.objectives import cpo, distil, dpo, grpo, kto, orpo, rloo, sft, simpo
from mixmerge.training.objectives.objective import Objective

OBJECTIVES: dict[str, Objective] = {
    module.OBJECTIVE.name: module.OBJECTIVE
    for module in (sft, dpo, kto, cpo, simpo, orpo, grpo, rloo, distil)
}
"""The objectives by name, the values of ``method``."""

DEFAULT = sft.OBJECTIVE.name
"""The default objective."""
