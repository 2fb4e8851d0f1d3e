"""The report: tables, figures and one self-contained HTML page about a study, finished or not.

`write_report` in `mixmerge.reporting.write` takes a `ReportInput`, which has no run folders.
"""

from mixmerge.reporting.input import ReportInput, StepCost

__all__ = ["ReportInput", "StepCost"]
