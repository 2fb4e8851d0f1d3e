"""``report/study``: tables, figures and the page."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from mixmerge.execution.step import Needs, Step, Task
from mixmerge.progress import Progress
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import NoFacts, StepKind

STUDY_FILE = "study.yaml"
"""The study file's text at the top of a run folder."""


class ReportSettings(SpecModel):
    """The study, but for where it runs."""

    study: Study


class Report(StepKind[ReportSettings, NoFacts]):
    """Writes the report of a finished study."""

    kind: ClassVar[str] = "report"
    settings = ReportSettings
    facts = NoFacts

    def plan(self, study: Study, made: Sequence[Step]) -> Iterable[Step]:
        """Yield the one step; it reads all others."""
        settings = {"study": study.model_dump(mode="json", exclude={"placement", "tracking"})}
        inputs = {step.id: step.id for step in made}
        yield Step(self.kind, "study", settings, inputs, needs=Needs(seconds=15))

    def run(self, task: Task, settings: ReportSettings, progress: Progress) -> NoFacts:
        """Write the page with its tables and figures."""
        from mixmerge.reporting.write import write_report
        from mixmerge.study.collect import gather

        written = task.folder.parents[1] / STUDY_FILE
        text = written.read_text(encoding="utf-8") if written.is_file() else ""
        data = gather(settings.study, task.inputs, study_file=text)
        write_report(data, task.folder, progress=progress)
        return NoFacts()
