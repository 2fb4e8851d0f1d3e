"""The result table and the verdict in the terminal."""

import io
import subprocess
import sys

from rich.console import Console

from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.terminal import result_table, verdict_line
from mixmerge.reporting.verdict import conclude


def printed(study: ReportInput, width: int = 80) -> str:
    """Return the table as printed on a terminal of some width."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(result_table(study.results))
    return out.getvalue()


def test_every_model_has_a_line_with_both_axes(study: ReportInput) -> None:
    """On 80 columns each of the 15 models has one line with win rate and harm rate in percent."""
    lines = printed(study).splitlines()
    for name, model in study.results.models.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert f"{model.general.win_rate * 100:.1f}" in line
        assert f"{model.safety.harm_rate * 100:.1f}" in line


def test_square_brackets_in_names_are_text(study: ReportInput) -> None:
    """A model called like console markup is printed as it is called."""
    models = {("[red]x[/red]" if n == "base" else n): m for n, m in study.results.models.items()}
    results = study.results.model_copy(update={"models": models, "study": "[bold]s"})
    text = printed(study.model_copy(update={"results": results}))
    assert "[red]x[/red]" in text
    assert "[bold]s" in text


def test_the_line_is_the_page_s_headline(study: ReportInput) -> None:
    """Terminal and page say the same sentence."""
    line = verdict_line(study.results, study.baselines)
    assert line == conclude(study.results, study.baselines).headline


def test_terminal_and_specification_are_light() -> None:
    """Printing the table loads no matplotlib, jinja2, numpy or torch."""
    code = (
        "import sys, mixmerge.reporting, mixmerge.reporting.terminal; "
        "print([m for m in ('matplotlib', 'jinja2', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_models_without_a_stage_have_a_line_too(study: ReportInput) -> None:
    """A stand-alone evaluation need not say stages, and still shows every model once."""
    models = {
        name: model.model_copy(update={"stage": None}) if name == "sft-15" else model
        for name, model in study.results.models.items()
    }
    results = study.results.model_copy(update={"models": models})
    lines = printed(study.model_copy(update={"results": results})).splitlines()
    for name in models:
        assert sum(line.split()[:1] == [name] for line in lines) == 1
