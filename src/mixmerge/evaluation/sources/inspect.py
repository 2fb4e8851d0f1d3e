"""A task of inspect_ai: ``{inspect: {task: tasks/sums.py@sums}}``, or one of an installed package.

Runs `inspect_ai.eval_set`, which continues where an interrupted run stopped.
"""

from pathlib import Path
from shutil import copyfile
from typing import Any, ClassVar

from pydantic import Field

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.sources.source import HarnessRun, HarnessSpec, ScoredAxis, placed, version
from mixmerge.spec_model import hint, quoted

TASK = "task.py"


class InspectSpec(HarnessSpec):
    """A task of inspect_ai."""

    package: ClassVar[str] = "inspect_ai"

    task: str = Field(min_length=1)
    """``FILE.py@NAME``, or ``PACKAGE/NAME`` such as ``inspect_evals/gsm8k``. If the file changes,
    the task runs again."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the task."""
    epochs: int | None = Field(None, ge=1)
    """How often each item is asked; the answers of an item count once together."""
    config: dict[str, Any] = Field(default_factory=dict)
    """How answers are generated, in inspect's words: ``{max_tokens: 64, temperature: 0}``."""

    @property
    def format(self) -> str:
        """Inspect's logs."""
        return "inspect"

    @property
    def _file(self) -> Path | None:
        path, at, _ = self.task.rpartition("@")
        return Path(path) if at else None

    def identity(self) -> dict[str, Any]:
        """Return the settings that change what the harness does, without paths."""
        own = super().identity()
        name = self.task.rpartition("@")[2]
        package, slash, _ = name.partition("/")
        known = {"package": version(package)} if slash and self._file is None else {}
        return own | {"task": name} | known

    def paths(self) -> dict[str, Path]:
        """Return the files whose content changes scores, by role."""
        return super().paths() | ({TASK: self._file} if self._file is not None else {})

    def unknown(self) -> str:
        """Return why there is no such task, in a sentence; empty if there is one."""
        from inspect_ai import list_tasks

        file, _, name = self.task.rpartition("@")
        if not file:
            return ""  # the packages' tasks are known once they are imported
        path = Path(file).absolute()
        known = [task.name for task in list_tasks(path.name, root_dir=path.parent)]
        if name in known:
            return ""
        return f"{file} has no task {name!r} ({quoted(known) or 'none'}){hint(name, known)}"

    def run(self, asked: HarnessRun) -> None:
        """Evaluate one model and write inspect's log.

        Raises:
            SpecError: there is no such task, or inspect refuses its settings.
            ResourceError: the task failed on some item.
        """
        from inspect_ai import eval_set
        from inspect_ai._util.error import PrerequisiteError
        from inspect_ai.model import ModelInfo, get_model, set_model_info

        # Otherwise inspect looks the name up on the hub, and loads the weights to do so.
        called = f"{self.model}/{asked.name}"
        set_model_info(called, ModelInfo())
        name = self.task.rpartition("@")[2]
        try:
            done, logs = eval_set(
                [f"{asked.files[TASK]}@{name}" if TASK in asked.files else self.task],
                log_dir=str(asked.cache),
                model=get_model(
                    called,
                    model_path=str(asked.model),
                    batch_size=asked.batch_size,
                    **placed(self.model) | self._sampling() | self.model_args,
                ),
                task_args=self.args,
                limit=self.limit,
                epochs=self.epochs,
                display="none",
                log_format="eval",
                retry_attempts=0,
                **{"seed": asked.seed} | self.config,
            )
        except (PrerequisiteError, ValueError, TypeError) as error:
            said = getattr(error, "message", str(error))
            raise SpecError(f"inspect, task {self.task}: {said}") from error
        if not done:
            said = logs[0].error.message if logs and logs[0].error else "no reason is in its log"
            raise ResourceError(f"inspect, task {self.task}: {said} (log: {asked.cache}).")
        for log in logs:
            # inspect only warns of these, in the middle of its own output.
            if unknown := self.args.keys() - log.eval.task_args.keys():
                raise SpecError(
                    f"inspect, task {self.task}: the task has no argument `{min(unknown)}` (it "
                    f"has: {quoted(log.eval.task_args) or 'none'})."
                )
            copyfile(_path(log.location), asked.out / Path(log.location).name)

    def _sampling(self) -> dict[str, Any]:
        # transformers refuses to sample at temperature 0, and inspect samples unless told.
        greedy = self.model == "hf" and self.config.get("temperature") == 0
        return {"do_sample": False} if greedy else {}


def _path(location: str) -> Path:
    return Path(location.removeprefix("file://"))


class InspectAxis(ScoredAxis):
    """An axis that inspect_ai measures."""

    key: ClassVar[str] = "inspect"

    inspect: InspectSpec
    """The task."""


AXIS = InspectAxis
