"""``prompts/AXIS``: write the prompts of an axis."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.execution.step import Step, Task
from mixmerge.files import write_rows
from mixmerge.progress import Progress
from mixmerge.records import Prompt, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import Study
from mixmerge.study.steps.data import WORLD
from mixmerge.study.steps.kind import ROWS, StepKind, described, with_paths


class PromptSettings(SpecModel):
    """The languages, and the prompt set as `described` returned it."""

    model_config = ConfigDict(extra="allow")

    languages: list[str]


class PromptFacts(RowModel):
    """The number of prompts."""

    rows: int
    clusters: int
    machine_translated: int


class Prompts(StepKind[PromptSettings, PromptFacts], kind="prompts"):
    """Writes the prompts of one axis in the study's languages."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each axis of each round."""
        for each in rounds(study):
            for axis, spec in each.evaluate.judged.items():
                settings, files = described("prompts", spec.prompts)
                if spec.prompts.testbed:
                    files |= WORLD
                yield Step(
                    self.kind,
                    f"{axis}{each.suffix}",
                    settings | {"languages": study.languages},
                    files=files,
                    by_output=True,
                )

    def run(self, task: Task, settings: PromptSettings, progress: Progress) -> PromptFacts:
        """Read or make the prompts."""
        progress(0, 1, "prompts")
        rows = read_prompts(settings, task.files)
        write_rows(task.folder / ROWS, rows)
        return PromptFacts(
            rows=len(rows),
            clusters=len({row.cluster for row in rows}),
            machine_translated=sum(row.translated == "machine" for row in rows),
        )


def read_prompts(settings: PromptSettings, files: Mapping[str, Path]) -> list[Prompt]:
    """Read or make the prompts of a step, in the study's languages.

    Raises:
        DataError: see `mixmerge.evaluation.prompts.load_prompts`.
    """
    from mixmerge.evaluation.prompts import check_prompts, load_prompts

    spec = PromptSetSpec(**with_paths("prompts", settings.model_extra or {}, files))
    languages = settings.languages
    if not spec.testbed:
        return load_prompts(spec, languages)
    from mixmerge.testbed.data import prompts

    split: Literal["dev", "test"] = "dev" if spec.split == "dev" else "test"
    known = prompts(spec.testbed, split, languages)
    rows = [prompt for prompt in known if prompt.language in languages]
    check_prompts(rows, languages, "testbed")
    return rows


KINDS = (Prompts(),)
