"""``generate-data/SOURCE``: make training rows from seeds, by models."""

from collections.abc import Iterable
from pathlib import Path
from shutil import copyfile
from typing import Any

from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_rows
from mixmerge.progress import Progress
from mixmerge.records import Prompt, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.data_sources import GeneratedSource
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import ROWS, StepKind, inputs_of
from mixmerge.synthesis.filters.overlap import OverlapSpec
from mixmerge.synthesis.identity import identity
from mixmerge.synthesis.spec import GenerateDataSpec


class GenerateDataSettings(SpecModel):
    """What determines the rows."""

    generate: dict[str, Any]
    """As `identity` returns it: no address, key or price."""


class GenerateDataFacts(RowModel):
    """What was made, and at what price."""

    rows: int
    calls: int
    dollars: float | None
    short: list[str]
    """The quotas that could not be filled, a sentence each."""


class GenerateData(StepKind[GenerateDataSettings, GenerateDataFacts], kind="generate-data"):
    """Makes the rows of one source. Calls are kept in the run's cache and are not made again."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each generated source."""
        held_out = {
            f"held_out:{axis}{each.suffix}": f"prompts/{axis}{each.suffix}"
            for each in rounds(study)
            for axis in each.evaluate.judged
        }
        for name, source in study.data.items():
            if isinstance(source, GeneratedSource):
                settings, files = identity(source.generate)
                yield Step(
                    self.kind,
                    name,
                    {"generate": settings},
                    held_out,
                    files,
                    {"spec": source.generate.model_dump(mode="json", exclude_unset=True)},
                    by_output=True,
                    needs=Needs(seconds=60),
                )

    def run(
        self, task: Task, settings: GenerateDataSettings, progress: Progress
    ) -> GenerateDataFacts:
        """Make the rows."""
        from mixmerge.synthesis.card import CARD
        from mixmerge.synthesis.engine import generate
        from mixmerge.synthesis.report import REPORT
        from mixmerge.synthesis.row import DROPPED
        from mixmerge.testbed.judge import RuleJudge

        del settings
        spec = GenerateDataSpec.model_validate(task.placement["spec"])
        made = work_folder(task.cache, task.name)
        report = generate(
            without_overlap(spec, inputs_of(task, "held_out").values()),
            made,
            rule_judges={"testbed": RuleJudge()},
            progress=progress,
        )
        for file in (ROWS, DROPPED, CARD, REPORT):
            copyfile(made / file, task.folder / file)
        return GenerateDataFacts(
            rows=report.rows, calls=report.calls, dollars=report.dollars, short=report.short
        )

    def cost(self, settings: GenerateDataSettings, rows: int) -> str:
        """Return the number of its steps in words."""
        del rows
        return f"{len(settings.generate['steps'])} steps"


def work_folder(cache: Path, name: str) -> Path:
    """Return the folder that keeps the calls of a source, whatever becomes of the step."""
    return cache / GenerateData.kind / name


def without_overlap(spec: GenerateDataSpec, held_out: Iterable[Path]) -> GenerateDataSpec:
    """Return a specification that also leaves out what overlaps a study's evaluation prompts."""
    sets = []
    for folder in held_out:
        languages = {prompt.language for prompt in read_rows(folder / ROWS, Prompt)}
        sets.append({"files": folder / ROWS, "languages": sorted(languages)})
    if not sets:
        return spec
    overlap = OverlapSpec.model_validate({"overlap": sets})
    return spec.model_copy(update={"filters": (*spec.filters, overlap)})


KINDS = (GenerateData(),)
