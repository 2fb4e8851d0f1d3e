"""The loss curve: written while the training runs, cut back when it is resumed."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from mixmerge import files
from mixmerge.durable import read_log
from mixmerge.errors import SpecError
from mixmerge.progress import Progress
from mixmerge.training.report import CurvePoint


@dataclass
class Curve:
    """Collects one `CurvePoint` per step and appends it to ``curve.jsonl``."""

    path: Path | None
    """The file; None collects without writing (every process but the first)."""
    tokens: npt.NDArray[np.int64]
    """Tokens read up to and including each step, shape ``(steps,)``."""
    steps_per_epoch: float
    """Rows used / global batch; not always whole."""
    progress: Progress
    points: list[CurvePoint] = field(default_factory=list)
    _stream: IO[str] | None = None
    _started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def writing(self, resumed_from: int) -> Iterator[None]:
        """Keep the points up to the step of the checkpoint and open the file for the next ones."""
        self._started = time.perf_counter()
        if self.path is None:
            yield
            return
        written = read_log(self.path, CurvePoint.model_validate_json)
        self.points = [point for point in written if point.step <= resumed_from]
        files.write_rows(self.path, self.points)
        with self.path.open("a", encoding="utf-8") as self._stream:
            yield

    def add(self, step: int, logs: dict[str, float]) -> None:
        """Take what the trainer logged after a step.

        Raises:
            SpecError: the loss is no longer a number.
        """
        if not math.isfinite(logs["loss"]):
            raise SpecError(
                f"The training diverged: its loss is {logs['loss']} at step {step}. "
                "Lower `learning_rate`, or set `precision: float32`."
            )
        norm = logs.get("grad_norm")
        point = CurvePoint(
            step=step,
            epoch=step / self.steps_per_epoch,
            loss=logs["loss"],
            learning_rate=logs["learning_rate"],
            grad_norm=norm if norm is not None and math.isfinite(norm) else None,
            tokens=int(self.tokens[step - 1]),
            seconds=round(time.perf_counter() - self._started, 3),
            accuracy=logs.get("rewards/accuracies", logs.get("mean_token_accuracy")),
            margin=logs.get("rewards/margins"),
        )
        self.points.append(point)
        if self._stream is not None:
            self._stream.write(point.model_dump_json() + "\n")
            self._stream.flush()
        self.progress(step, len(self.tokens), f"training, loss {point.loss:.3f}")

    @property
    def first_loss(self) -> float:
        """Loss of the first step."""
        return self.points[0].loss

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        last = self.points[-max(1, len(self.points) // 10) :]
        return math.fsum(point.loss for point in last) / len(last)
