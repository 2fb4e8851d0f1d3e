"""Tests of mixmerge.searching.page and terminal: what a reader sees of a search."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.searching.page import write_page
from mixmerge.searching.result import SearchResult
from mixmerge.searching.terminal import closing, front_table, recipe

TIES: dict[str, Any] = {
    "method": "ties",
    "models": {"a": {"weight": 0.3, "density": 0.5}, "b": {"weight": (0.7, 1.0), "density": 0.5}},
    "parameters": {"lambda": 1.5},
}


def member(name: str, x: float, y: float, **own: Any) -> dict[str, Any]:
    """A member at a point, with intervals of ten points around it."""
    axes = {
        axis: {"value": v, "ci": (v - 0.1, v + 0.1)}
        for axis, v in (("good", x), ("harm", y), ("kind", 0.2))
    }
    return {"name": name, "axes": axes, "p_non_dominated": 0.8, **own}


@pytest.fixture
def result() -> SearchResult:
    """A search with one member, two models alone and three candidates."""
    info = {
        "good": MeasuredAxis.model_validate({"measure": "win_rate"}),
        "harm": MeasuredAxis.model_validate({"measure": {"rate": "harmful"}, "better": "lower"}),
        "kind": MeasuredAxis.model_validate({"measure": {"rate": "refused"}, "better": "lower"}),
    }
    candidates = [
        {
            "name": f"{n}-abc", "merge": TIES, "looks": 1, "slacks": {}, "p_on_front": 0.5,
            "axes": {a: {"value": 0.2 * n, "standard_error": 0.02} for a in ("good", "harm")},
            "hypervolume": 0.1 * n,
        }
        for n in (1, 2, 3)
    ]  # fmt: skip
    return SearchResult.model_validate(
        {
            "study": "<b>mine</b>", "seed": 3, "strategy": "bayes", "models": ["a", "b"],
            "methods": ["ties"], "goals": ["good", "harm"], "constraints": [],
            "axes": {axis: own.info(primary=axis != "kind") for axis, own in info.items()},
            "reference": [0.1, 0.1],
            "used": {"candidates": 3, "answers": 1200, "judge_calls": 40, "dollars": 1.5,
                     "answers_of_front": 500},
            "notes": ["No candidate keeps all constraints."],
            "front": [member("front-1", 0.6, 0.3, candidate="3-abc", merge=TIES)],
            "alone": [member("a", 0.7, 0.6), member("b", 0.3, 0.2)],
            "volume": {"hypervolume": 0.42, "ci": (0.35, 0.49)},
            "volume_alone": {"hypervolume": 0.4, "ci": None, "absent": "too close"},
            "candidates": candidates,
            "slices": [
                {"axis": axis, "method": "ties", "through": "3-abc", "parameter": parameter,
                 "at": [0, 0.5, 1], "mean": [0.2, 0.4, 0.3], "low": [0.1, 0.3, 0.2],
                 "high": [0.3, 0.5, 0.6]}
                for axis in ("good", "harm") for parameter in ("weight of a", "density", "lambda")
            ],
        }
    )  # fmt: skip


def test_a_recipe_is_one_line() -> None:
    """Method, weights with their gradients, and other parameters; nothing for a model alone."""
    assert recipe(TIES) == "ties a 0.3 density 0.5, b 0.7→1 density 0.5; lambda 1.5"
    assert recipe(None) == ""


def test_the_table_has_values_intervals_and_probabilities(result: SearchResult) -> None:
    """Deciding axes only, members first, in the units of the axes."""
    console = Console(width=150, record=True)
    console.print(front_table(result))
    text = console.export_text()
    assert text.index("front-1") < text.index("0.7→1") < text.rindex(" b ")
    for shown in ("60.0", "50.0", "70.0", "80", "win rate", "harmful"):
        assert shown in text
    assert "kind" not in text


def test_the_sentences_say_what_was_used_and_noticed(result: SearchResult) -> None:
    """Numbers of the budget, both volumes with interval or reason, and every note."""
    said = " ".join(closing(result))
    for shown in ("3 candidates", "1,200 answers", "40 judge calls", "$1.50", "500 prompts more",
                  "0.420 (0.350 to 0.490)", "no interval: too close", *result.notes):  # fmt: skip
        assert shown in said


def test_the_page_is_one_file_that_is_the_same_every_time(
    result: SearchResult, tmp_path: Path
) -> None:
    """It has table and figures, escapes names, and has the same bytes again."""
    for name in ("one.html", "two.html"):
        write_page(result, tmp_path / name)
    text = (tmp_path / "one.html").read_text()
    assert text == (tmp_path / "two.html").read_text()
    assert "&lt;b&gt;mine" in text
    assert "<b>mine" not in text
    assert text.count("<svg") == 4
    for shown in ("front-1", "Budget against hypervolume", "lambda 1.5", "0.420"):
        assert shown in text
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
