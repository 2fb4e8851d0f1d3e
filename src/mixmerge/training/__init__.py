"""Training: one checkpoint by one of the objectives (see `mixmerge.training.objectives`).

A study file mentions `TrainSpec` (what is trained: it decides the weights) and `TrainPlacement`
(where and how it runs: it does not). `mixmerge.training.run.train` does the work with TRL and
writes an ordinary Hugging Face folder.
"""

from mixmerge.training.spec import AdapterSpec, TrainJob, TrainPlacement, TrainSpec

__all__ = ["AdapterSpec", "TrainJob", "TrainPlacement", "TrainSpec"]
