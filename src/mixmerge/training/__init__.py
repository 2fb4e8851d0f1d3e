"""Training: one checkpoint by one of the objectives (see `mixmerge.training.objectives`).

`TrainSpec` has the settings that determine the weights, `TrainPlacement` where and how the training
runs. `mixmerge.training.run.train` trains with TRL and writes an ordinary Hugging Face folder.
"""

from mixmerge.training.adapter import AdapterSpec
from mixmerge.training.spec import TrainJob, TrainPlacement, TrainSpec

__all__ = ["AdapterSpec", "TrainJob", "TrainPlacement", "TrainSpec"]
