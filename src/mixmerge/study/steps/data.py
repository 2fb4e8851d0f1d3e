"""``data/SOURCE``: write training rows of the testbed."""

from collections.abc import Iterable
from pathlib import Path

import mixmerge.testbed
from mixmerge.execution.step import Step, Task
from mixmerge.files import write_rows
from mixmerge.progress import Progress
from mixmerge.records import RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.data_sources import TestbedSource
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import ROWS, StepKind

WORLD = {"world": str(Path(mixmerge.testbed.__file__).parent / "world")}


class DataSettings(SpecModel):
    """Which rows, and in which languages."""

    testbed: str
    name: str
    """The source's name in the study."""
    languages: list[str]


class DataFacts(RowModel):
    """The number of rows."""

    rows: int


class TestbedData(StepKind[DataSettings, DataFacts], kind="data"):
    """Writes the testbed's rows of one source."""

    __test__ = False  # not a test, whatever pytest makes of the name

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each source of the testbed."""
        for name, source in study.data.items():
            if isinstance(source, TestbedSource):
                settings = {"testbed": source.testbed, "name": name, "languages": study.languages}
                yield Step(self.kind, name, settings, files=WORLD, by_output=True)

    def run(self, task: Task, settings: DataSettings, progress: Progress) -> DataFacts:
        """Write the rows."""
        from mixmerge.testbed.data import preference_pairs

        progress(0, 1, "rows")
        rows = [
            row.model_copy(update={"source": settings.name})
            for row in preference_pairs(settings.testbed, settings.languages)
        ]
        write_rows(task.folder / ROWS, rows)
        return DataFacts(rows=len(rows))


KINDS = (TestbedData(),)
