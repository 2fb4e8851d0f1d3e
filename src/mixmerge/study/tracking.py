"""A study's steps in an experiment tracker: one event for each that finished, off by default."""

import importlib
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from mixmerge.execution.events import Ended, Event, Finished
from mixmerge.training.spec import TrackingSpec

log = logging.getLogger(__name__)


class _Sink(Protocol):
    def send(self, numbers: Mapping[str, float]) -> None:
        """Log numbers by name."""

    def close(self) -> None:
        """Flush and end the run at the tracker."""


class _Wandb:
    def __init__(self, project: str, name: str) -> None:
        self._run = importlib.import_module("wandb").init(project=project, name=name)

    def send(self, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers))

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    def __init__(self, project: str, name: str) -> None:
        self._trackio = importlib.import_module("trackio")
        self._trackio.init(project=project, name=name)

    def send(self, numbers: Mapping[str, float]) -> None:
        self._trackio.log(dict(numbers))

    def close(self) -> None:
        self._trackio.finish()


class _Mlflow:
    def __init__(self, project: str, name: str) -> None:
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.set_experiment(project)
        self._mlflow.start_run(run_name=name)

    def send(self, numbers: Mapping[str, float]) -> None:
        self._mlflow.log_metrics(dict(numbers))

    def close(self) -> None:
        self._mlflow.end_run()


_SINKS: Mapping[str, type[_Wandb] | type[_Trackio] | type[_Mlflow]] = {
    "wandb": _Wandb,
    "mlflow": _Mlflow,
    "trackio": _Trackio,
}


class Tracker:
    """Sends the numbers of each finished step: seconds, memory, tokens, rows.

    They are named ``train/sft-15/seconds`` and so on. A tracker that fails stops no run: it is
    said once in the log, and nothing more is sent.
    """

    def __init__(self, spec: TrackingSpec, study: str) -> None:
        """Begin a run of this name at the tracker.

        Raises:
            ResourceError: the tracker's package is not installed.
        """
        spec.check_installed()
        self._sink: _Sink | None = None
        try:
            self._sink = _SINKS[spec.to](spec.project, study)
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the study goes on
            _warn(error)

    def __call__(self, event: Event) -> None:
        """Send the numbers of a finished step; end the run at the tracker with the study's."""
        if isinstance(event, Finished):
            self._try("send", _numbers(event))
        elif isinstance(event, Ended):
            self._try("close")

    def _try(self, what: str, *arguments: Any) -> None:
        if self._sink is None:
            return
        try:
            getattr(self._sink, what)(*arguments)
        except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the study goes on
            _warn(error)
            self._sink = None


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
