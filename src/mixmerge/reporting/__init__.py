"""The report: tables, figures and one self-contained HTML page about a study, finished or not.

`write_report` in `mixmerge.reporting.write` takes a `ReportInput`, plain data that knows nothing of
run folders, and writes ``tables/``, ``figures/`` and ``report.html``. The decision rule behind the
page's first sentence is `mixmerge.reporting.verdict`, which is pure and short on purpose.
"""

from mixmerge.reporting.input import Answer, ReportInput, Sample, StepCost

__all__ = ["Answer", "ReportInput", "Sample", "StepCost"]
