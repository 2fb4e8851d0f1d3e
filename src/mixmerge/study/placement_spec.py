"""The `placement` section: where and how the work of a study runs."""

from typing import Annotated, Literal

from pydantic import Field

from mixmerge.evaluation.spec import GeneratePlacement, JudgePlacement
from mixmerge.execution.engines import with_engines
from mixmerge.merging.spec import MergePlacement
from mixmerge.spec_model import SpecModel
from mixmerge.training.spec import TrainPlacement

Phase = Literal["train", "merge", "generate", "harness", "judge", "mix"]


@with_engines
class Placement(SpecModel):
    """Where and how the work runs; changes no result beyond rounding."""

    train: TrainPlacement = TrainPlacement()
    """Devices, batch per device, sharding."""
    generate: GeneratePlacement = GeneratePlacement()
    """Prompts answered at once, threads."""
    merge: MergePlacement = MergePlacement()
    """Threads."""
    judge: JudgePlacement = JudgePlacement()
    """Threads of judges that are models on this machine."""
    memory_gb: dict[Phase, Annotated[float, Field(gt=0)]] = {}
    """Gigabytes (1e9 bytes) that one step of a kind needs, e.g. ``{train: 40, generate: 18}``: only
    as many run at the same time as fit. A kind that is not named counts as 0, and judges on this
    machine as the size of their files."""
