"""The result table and the verdict in the terminal."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.terminal import closing, result_table

FIVE = ("code", "general", "safety", "tone", "mmlu")
GIVEN_TONE = {"base": 5.1, "safe": 6.8, "coder": 4.9, "mixed": 6.0, "slerp": 6.7, "ties": 6.1}


def printed(study: ReportInput, width: int = 80) -> str:
    """Return the table as printed on a terminal of some width."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False).print(result_table(study.results))
    return out.getvalue()


def test_every_model_has_a_line_with_both_axes(study: ReportInput) -> None:
    """On 80 columns each of the 15 models has one line with its values in percent."""
    lines = printed(study).splitlines()
    for name, model in study.results.models.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert f"{model.axes['general'].value * 100:.1f}" in line
        assert f"{model.axes['safety'].value * 100:.1f}" in line


def test_square_brackets_in_names_are_text(study: ReportInput) -> None:
    """A model called like console markup is printed as it is called."""
    models = {("[red]x[/red]" if n == "base" else n): m for n, m in study.results.models.items()}
    results = study.results.model_copy(update={"models": models, "study": "[bold]s"})
    text = printed(study.model_copy(update={"results": results}))
    assert "[red]x[/red]" in text
    assert "[bold]s" in text


def test_the_last_lines_say_what_to_do(study: ReportInput) -> None:
    """Below the table: verdict, evidence, numbers of prompts, then the advice with its folders."""
    lines = [line.plain for line in closing(study.results, Path("runs/x"))]
    assert lines[0].startswith("Merging beats mixing")
    assert lines[2].startswith("Prompts with a verdict: general ")
    assert "Take `dpo-slerp`. runs/x/merge/dpo-slerp-0123abcd/model" in lines
    assert (
        "If safety counts at least twice as much as general, take `dpo-100`. "
        "runs/x/train/dpo-100-0123abcd/model"
    ) in lines
    assert lines[-1].startswith("Open: Each model was trained once")
    bare = study.results.model_copy(update={"advice": None})
    assert len(closing(bare, Path())) == 3


def test_terminal_and_specification_are_light() -> None:
    """Printing the table loads no matplotlib, jinja2, numpy or torch."""
    code = (
        "import sys, mixmerge.reporting, mixmerge.reporting.terminal; "
        "print([m for m in ('matplotlib', 'jinja2', 'numpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("axes", [["code"], ["code", "safety"], list(FIVE)])
def test_any_number_of_axes_fits_the_screen(
    make_given: Callable[..., ReportInput], axes: list[str]
) -> None:
    """One to five axes fit on 80 columns, one line a model, in their own units."""
    study = make_given(axes)
    lines = printed(study).splitlines()
    for name, model in study.results.models.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert f"{model.axes['code'].value:.3f}" in line
        assert ("tone" in axes) == (f"{GIVEN_TONE[name]:.2f}" in line)
