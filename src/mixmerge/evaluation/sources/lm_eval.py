"""A task of lm-evaluation-harness: ``{lm_eval: {task: mmlu, num_fewshot: 5}}``.

Runs `lm_eval.simple_evaluate` on the checkpoint's folder and writes the log that the command
``lm_eval --log_samples`` writes.
"""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from mixmerge.errors import SpecError
from mixmerge.evaluation.sources.source import HarnessRun, HarnessSpec, ScoredAxis, placed
from mixmerge.spec_model import hint

INCLUDE = "include_path"


class LmEvalSpec(HarnessSpec):
    """A task or a group of tasks of lm-evaluation-harness."""

    package: ClassVar[str] = "lm_eval"

    include_path: Path | None = None
    """A folder with tasks of your own; if a file in it changes, the task runs again."""
    num_fewshot: int | None = Field(None, ge=0)
    """Examples before each item; by default what the task says."""
    apply_chat_template: bool = True
    """Ask in the chat template of the checkpoint's folder."""
    system_instruction: str | None = None
    """A system message before each item."""
    gen_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Changes to how the task has answers generated, e.g. ``{max_gen_toks: 64}``."""

    @property
    def format(self) -> str:
        """lm-eval's results and samples."""
        return "lm_eval"

    def identity(self) -> dict[str, Any]:
        """Return the settings that change what the harness does, without paths."""
        return {key: value for key, value in super().identity().items() if key != INCLUDE}

    def paths(self) -> dict[str, Path]:
        """Return the files whose content changes scores, by role."""
        own = {INCLUDE: self.include_path} if self.include_path is not None else {}
        return super().paths() | own

    def unknown(self) -> str:
        """Return why there is no such task, in a sentence; empty if there is one."""
        try:
            self._tasks(self.include_path)
        except SpecError as error:
            return str(error)
        return ""

    def run(self, asked: HarnessRun) -> None:
        """Evaluate one model and write lm-eval's log.

        Raises:
            SpecError: there is no such task, or lm-eval refuses its settings.
        """
        from lm_eval import simple_evaluate
        from lm_eval.loggers import EvaluationTracker

        tracker = EvaluationTracker(output_path=str(asked.out))
        try:
            found = simple_evaluate(
                model=self.model,
                model_args=placed(self.model) | self.model_args | {"pretrained": str(asked.model)},
                tasks=[self.task],
                task_manager=self._tasks(asked.files.get(INCLUDE)),
                num_fewshot=self.num_fewshot,
                batch_size=asked.batch_size,
                use_cache=str(asked.cache),
                limit=self.limit,
                bootstrap_iters=0,  # mixmerge has its own intervals
                evaluation_tracker=tracker,
                system_instruction=self.system_instruction,
                apply_chat_template=self.apply_chat_template,
                gen_kwargs=self.gen_kwargs or None,
                random_seed=asked.seed,
                numpy_random_seed=asked.seed,
                torch_random_seed=asked.seed,
                fewshot_random_seed=asked.seed,
                confirm_run_unsafe_code=asked.allow_execution,
            )
        except (ValueError, KeyError, AssertionError, FileNotFoundError) as error:
            raise SpecError(f"lm_eval, task {self.task}: {_first_line(error)}") from error
        samples = found.pop("samples")
        tracker.general_config_tracker.model_name = asked.name
        tracker.general_config_tracker.model_name_sanitized = asked.name
        tracker.save_results_aggregated(results=found, samples=samples)
        for task, rows in samples.items():
            tracker.save_results_samples(task_name=task, samples=rows)

    def _tasks(self, include: Path | None) -> Any:
        """Return lm-eval's list of tasks, which has this one.

        Raises:
            SpecError: it has not.
        """
        from lm_eval.tasks import TaskManager

        # Its own 14,000 tasks take seconds to list, so they come second.
        own = str(include) if include is not None else None
        for defaults in (False, True) if own else (True,):
            found = TaskManager(include_path=own, include_defaults=defaults)
            if self.task in found.all_tasks:
                return found
        where = f" and {include}" if include else "; name the folder of your own as `include_path`"
        raise SpecError(
            f"lm_eval has no task {self.task!r} among its {len(found.all_tasks):,}{where}"
            f"{hint(self.task, found.all_tasks)}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class LmEvalAxis(ScoredAxis):
    """An axis that lm-evaluation-harness measures."""

    key: ClassVar[str] = "lm_eval"

    lm_eval: LmEvalSpec
    """The task."""


AXIS = LmEvalAxis
