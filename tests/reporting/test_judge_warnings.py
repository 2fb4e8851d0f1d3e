"""A judge that tells nothing apart cannot be overlooked in the report."""

from pathlib import Path

from mixmerge.records.results import JudgeWarning
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.write import write_report

WARNING = JudgeWarning(
    axis="general",
    judge="j quality@1",
    kind="place",
    word="first",
    share=0.99,
    n=400,
    message="The judge <j> chose the first answer in 396 of 400 comparisons.",
)


def test_the_page_opens_with_it(study: ReportInput, tmp_path: Path) -> None:
    """It stands above the verdict, escaped, also where no judge was put on trial."""
    results = study.results.model_copy(update={"judge_warnings": (WARNING,)})
    page = write_report(study.model_copy(update={"results": results}), tmp_path / "warned")
    html = page.read_text(encoding="utf-8")
    assert html.index("The judge &lt;j&gt; chose the first answer") < html.index("Mix or merge?")
    assert "How the judges were tried" not in html
    plain = write_report(study, tmp_path / "plain").read_text(encoding="utf-8")
    assert "Do not trust" not in plain
