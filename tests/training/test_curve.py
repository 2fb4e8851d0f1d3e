"""The loss curve."""

import math
from pathlib import Path

import numpy as np
import pytest

from mixmerge.errors import SpecError
from mixmerge.files import read_rows
from mixmerge.progress import silent
from mixmerge.training.report import Curve, CurvePoint

LOGS = {"loss": 2.0, "learning_rate": 1e-3, "grad_norm": 1.0}


def curve(path: Path) -> Curve:
    """Return a curve of ten steps of 100 tokens, two steps an epoch."""
    return Curve(path, 10, np.arange(100, 1100, 100), 2.0, silent)


def test_a_curve_is_cut_back_on_resuming(tmp_path: Path) -> None:
    """Points after the checkpoint, and a line cut short by the kill, are written anew."""
    path = tmp_path / "curve.jsonl"
    first = curve(path)
    with first.writing(0):
        for step in range(1, 6):
            first.add(step, {**LOGS, "loss": float(step)})
    path.write_text(path.read_text() + '{"step": 6, "epo')
    second = curve(path)
    with second.writing(3):
        second.add(4, {**LOGS, "loss": 40.0})
    points = read_rows(path, CurvePoint)
    assert [(point.step, point.loss) for point in points] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40)]
    assert points[-1].tokens == 400
    assert points[-1].epoch == 2.0
    assert (second.points[0].loss, second.final_loss) == (1.0, 40.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_diverged_training_is_stopped(tmp_path: Path, loss: float) -> None:
    """A loss that is no number ends the training with advice."""
    broken = curve(tmp_path / "curve.jsonl")
    with (
        broken.writing(0),
        pytest.raises(SpecError, match=r"diverged: its loss is .* at step 3.*learning_rate"),
    ):
        broken.add(3, {**LOGS, "loss": loss})
