"""Tests of mixmerge.training.trainer: what TRL is asked."""

from pathlib import Path

import numpy as np
import pytest

from mixmerge.training import PlacementSpec, TrainSpec
from mixmerge.training.encode import Encoded
from mixmerge.training.trainer import Plan, configure


def plan(folder: Path, spec: TrainSpec, steps: int) -> Plan:
    """A plan of so many steps of one row, with nothing that is read before the training."""
    none = np.zeros(1, dtype=np.int64)
    return Plan(
        spec=spec,
        placement=PlacementSpec(),
        model=folder,
        tokenizer=None,
        encoded=Encoded({}, none, none, none),
        order=np.zeros((steps, 1), dtype=np.int64),
        max_length=8,
        micro=1,
        accumulation=1,
        precision="float32",
        on_cpu=True,
        checkpoints=folder,
    )


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (2, 1), (100, 3), (101, 4)])
def test_a_training_of_one_step_has_no_warmup(tmp_path: Path, steps: int, warmup: int) -> None:
    """The first step of a warm-up has a rate of zero, so the only step is never one."""
    assert configure(plan(tmp_path, TrainSpec(), steps)).warmup_steps == warmup


def test_a_recipe_without_warmup_has_none(tmp_path: Path) -> None:
    """With a share of zero the first step has the full rate, however many follow."""
    config = configure(plan(tmp_path, TrainSpec(warmup_ratio=0, schedule="constant"), 50))
    assert (config.warmup_steps, config.lr_scheduler_type) == (0, "constant")
