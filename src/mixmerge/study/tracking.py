"""Log a study's finished steps to an experiment tracker; off by default."""

import importlib
import logging
from typing import Any

from mixmerge.execution.events import Ended, Event, Finished, Listener, ignore
from mixmerge.training.spec import TrackingSpec

log = logging.getLogger(__name__)


_Run = tuple[Any, str, str]
"""A tracker's package or run, and the names of its functions that log and that end the run."""


def _begin(spec: TrackingSpec, name: str) -> _Run:
    package = importlib.import_module(spec.to)
    if spec.to == "mlflow":
        package.set_experiment(spec.project)
        package.start_run(run_name=name)
        return package, "log_metrics", "end_run"
    run = package.init(project=spec.project, name=name)
    return run if spec.to == "wandb" else package, "log", "finish"


class Tracker:
    """Sends the numbers of each finished step: seconds, memory, tokens, rows.

    They are named ``train/sft-15/seconds`` and so on. If the tracker fails, the run continues: the
    log says so once, and nothing more is sent.
    """

    def __init__(self, spec: TrackingSpec, study: str, listener: Listener = ignore) -> None:
        """Start a run of this name in the tracker.

        Raises:
            ResourceError: the tracker's package is not installed.
        """
        spec.prepare()
        self._listener = listener
        self._run: _Run | None = None
        try:
            self._run = _begin(spec, study)
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the study continues
            _warn(error)

    def __call__(self, event: Event) -> None:
        """Forward an event; send the numbers of a finished step; end the run with the study's."""
        self._listener(event)
        if self._run is None:
            return
        tracker, send, end = self._run
        try:
            if isinstance(event, Finished):
                getattr(tracker, send)(_numbers(event))
            elif isinstance(event, Ended):
                getattr(tracker, end)()
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the study continues
            _warn(error)
            self._run = None


def _numbers(event: Finished) -> dict[str, float]:
    record = event.record
    found = {name: record.get(name) for name in ("seconds", "peak_memory_mb", "attempts")}
    found |= record.get("facts", {})
    return {
        f"{event.step.id}/{name}": float(value)
        for name, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def _warn(error: Exception) -> None:
    log.warning("tracking stopped: %s: %s", type(error).__name__, error)
