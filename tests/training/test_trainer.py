"""Tests of mixmerge.training.trainer: what TRL is asked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.data import TrainingData
from mixmerge.training.encode import Encoded
from mixmerge.training.plan import Inputs, Plan
from mixmerge.training.trainer import configure


def configured(folder: Path, spec: TrainSpec, steps: int) -> Any:
    """TRL's configuration for so many steps of one row."""
    none = np.zeros(1, dtype=np.int64)
    model: Any = SimpleNamespace(path=folder)
    inputs = Inputs(spec, TrainPlacement(), model, "model", folder, folder, "identity", None)
    data = TrainingData(None, Encoded({}, none, none, none), {}, "markers", 8)
    order = np.zeros((steps, 1), dtype=np.int64)
    plan = Plan(data, order, 1, 1, "float32", on_cpu=True, columns={}, picked=order.ravel())
    return configure(inputs, plan)[0]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (2, 1), (100, 3), (101, 4)])
def test_a_training_of_one_step_has_no_warmup(tmp_path: Path, steps: int, warmup: int) -> None:
    """The first step of a warm-up has a rate of zero, so the only step is never one."""
    assert configured(tmp_path, TrainSpec(), steps).warmup_steps == warmup


def test_a_recipe_without_warmup_has_none(tmp_path: Path) -> None:
    """With a share of zero the first step has the full rate, however many follow."""
    config = configured(tmp_path, TrainSpec(warmup_ratio=0, schedule="constant"), 50)
    assert (config.warmup_steps, config.lr_scheduler_type) == (0, "constant")
