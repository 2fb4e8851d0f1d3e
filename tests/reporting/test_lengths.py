"""Length of training in the report: sentences, figures, tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mixmerge.records.results import Results
from mixmerge.records.sweeps import (
    LengthComparison,
    LengthContrast,
    LengthCurve,
    LengthDecision,
    LengthPoint,
    Lengths,
)
from mixmerge.reporting import figures
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.length_figures import length_plots
from mixmerge.reporting.lengths import length_sentences, length_tables
from mixmerge.reporting.terminal import closing
from mixmerge.reporting.write import write_report


def curve(model: str, best: int | None = None) -> LengthCurve:
    """A curve over three steps."""
    return LengthCurve(
        model=model,
        best=best,
        points={
            step: {
                "general": LengthPoint(value=0.5 + step / 1000, ci=(0.4, 0.8)),
                "safety": LengthPoint(value=0.3 - step / 2000, ci=None),
            }
            for step in (50, 100, 200)
        },
    )


def pair(decision: LengthDecision, best: tuple[int, int], a: str, b: str) -> LengthComparison:
    """A comparison of two merges."""
    own = LengthContrast(
        changes=(-0.03, 0.04), difference=-0.07, ci=(-0.11, -0.03), p=0.0001, p_adjusted=0.0002,
        n=60,
    )  # fmt: skip
    steps = (min(best), max(best)) if best[0] != best[1] else (50, 200)
    return LengthComparison(
        a=a, b=b, best=best, steps=steps, decision=decision, gain=0.062, ci=(0.011, 0.113),
        axes={"general": own, "safety": own},
    )  # fmt: skip


def with_lengths(results: Results, *pairs: LengthComparison) -> Results:
    """The made-up study with an expert and two merges over steps."""
    best = {name: own for each in pairs for name, own in zip((each.a, each.b), each.best,
                                                             strict=True)}  # fmt: skip
    experts = ["sft-0"] if "sft-0" in results.models else []
    curves = [*map(curve, experts), *(curve(name, own) for name, own in best.items())]
    lengths = Lengths(curves=tuple(curves), comparisons=pairs)
    return results.model_copy(update={"lengths": lengths})


@pytest.mark.parametrize(
    ("decision", "best", "said"),
    [
        ("differs", (100, 200), "The best length depends on the method."),
        ("equivalent", (100, 200), "makes no difference that matters"),
        ("undecided", (100, 200), "depends on the method is not decidable."),
        ("same", (100, 100), "The best length is the same for each method."),
    ],
)
def test_one_sentence_answers(
    study: ReportInput, decision: LengthDecision, best: tuple[int, int], said: str
) -> None:
    """After the best lengths; the pair's interval follows unless both are the same."""
    results = with_lengths(study.results, pair(decision, best, "sft-linear", "sft-ties"))
    told = length_sentences(results)
    assert told[0].endswith(f"in steps: sft-linear {best[0]}, sft-ties {best[1]}.")
    assert said in told[1]
    assert ("+6.2 points (+1.1 to +11.3)" in told[-1]) == (decision != "same")
    console = Console(width=200)
    with console.capture() as seen:
        console.print(*closing(results, Path("run")))
    assert told[1] in seen.get()


def test_one_pair_that_differs_is_the_answer(study: ReportInput) -> None:
    """Though others are the same or not decidable."""
    pairs = (
        pair("same", (100, 100), "sft-linear", "sft-slerp"),
        pair("differs", (100, 200), "sft-linear", "sft-ties"),
        pair("undecided", (100, 200), "sft-slerp", "sft-ties"),
    )
    told = length_sentences(with_lengths(study.results, *pairs))
    assert told[1] == "The best length depends on the method."
    assert len(told) == 4


def test_a_study_without_lengths_says_nothing(study: ReportInput) -> None:
    """Neither sentences, figures nor tables with rows."""
    assert length_sentences(study.results) == []
    assert length_plots(study.results, "sft") == []
    assert [table.rows for table in length_tables(study.results)] == [(), ()]


def test_curves_alone_are_drawn_without_an_answer(study: ReportInput) -> None:
    """Trainings that keep steps, and no merge that is chosen among them."""
    results = with_lengths(study.results)
    assert length_sentences(results) == []
    assert len(length_plots(results, "sft")) == 2
    assert length_plots(results, "dpo") == []


def test_every_line_and_point_is_drawn(study: ReportInput) -> None:
    """A line for each model, ticks at the steps, and better upwards."""
    results = with_lengths(study.results, pair("differs", (50, 200), "sft-linear", "sft-ties"))
    with figures.style():
        plots = {plot.name: plot for plot in length_plots(results, "sft")}
        assert [*plots] == ["sft-lengths-general", "sft-lengths-safety"]
        panel = plots["sft-lengths-safety"].figure.axes[0]
        assert [label.get_text() for label in panel.get_xticklabels()] == ["50", "100", "200"]
        assert panel.yaxis_inverted()
        (legend,) = plots["sft-lengths-general"].figure.legends
        names = [text.get_text() for text in legend.get_texts()]
        assert names == ["sft-0", "sft-linear", "sft-ties"]
        lines = [line for line in panel.lines if np.shape(line.get_xydata()) == (3, 2)]
        assert len({line.get_color() for line in lines}) == 3
    assert "sft-linear 50: 55.0" in plots["sft-lengths-general"].alt


def test_the_page_has_the_section(make_given: Callable[..., ReportInput], tmp_path: Path) -> None:
    """Sentences, both figures and both tables, in the page and as files."""
    given = make_given(["general", "safety"])
    results = with_lengths(given.results, pair("differs", (100, 200), "slerp", "ties"))
    page = write_report(given.model_copy(update={"results": results}), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert 'id="lengths"' in text
    assert "The best length depends on the method." in text
    table = (tmp_path / "tables" / "length_contrasts.csv").read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("a,b,steps,decision,gain,gain_low,gain_high,general_difference")
    assert table[1].startswith('slerp: 100,ties: 200,"100, 200",differs,0.062,0.011,0.113')
    values = (tmp_path / "tables" / "lengths.csv").read_text(encoding="utf-8").splitlines()
    assert len(values) == 7
    assert (tmp_path / "figures" / "given-lengths-general.svg").is_file()
