"""Tests of mixmerge.synthesis.recipes.pairs: which answers are paired, by which judge."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, says
from tests.synthesis.conftest import Model, made

from mixmerge.errors import DataError, ResourceError
from mixmerge.files import read_rows
from mixmerge.synthesis.engine import generate, plan
from mixmerge.synthesis.report import GenerationReport
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Row

Answers = dict[str, list[str]]


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """Return conversations: prompts with several answers, one repeated, one alone."""
    answers: Answers = {
        "p1": ["short", "a longer one", "the longest of all"],
        "p2": ["same", "same"],
        "p3": ["alike", "equal"],
        "p4": ["no", "yes indeed"],
    }
    path = tmp_path / "answered.jsonl"
    lines = [
        {"messages": [{"role": "user", "content": p}, {"role": "assistant", "content": text}]}
        for p, texts in answers.items()
        for text in texts
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def paired(
    answered: Path, url: str, preference: dict[str, Any], out: Path, **more: Any
) -> tuple[GenerationReport, list[Row], list[DroppedRow]]:
    spec = made(answered, url, [{"rephrase": 1}])  # for its form; the step is replaced
    data = spec.model_dump(mode="json", exclude_unset=True) | {"steps": [{"pairs": preference}]}
    data["seeds"]["risks"]["form"] = "conversations"
    report = generate(type(spec).model_validate(data | more), out)
    return report, read_rows(out / ROWS, Row), read_rows(out / DROPPED, DroppedRow)


def test_a_judge_compares_every_two_answers_in_both_orders(
    model: Model, answered: Path, tmp_path: Path
) -> None:
    """Best and worst make the pair, with the margin; ties and single answers are counted."""
    server = model()
    judge = {"endpoint": server.url, "model": "judge"}
    report, rows, dropped = paired(answered, server.url, {"judge": judge}, tmp_path / "out")
    assert len(server.calls) == 2 * (3 + 0 + 1 + 1)
    assert [(row.prompt_text, row.chosen, row.rejected, row.margin) for row in rows] == [
        ("p1", "the longest of all", "short", 1.0),
        ("p4", "yes indeed", "no", 1.0),
    ]
    assert report.steps[0].dropped == {"only one answer to the prompt": 1, "a tie": 1}
    assert [each.row.prompt_text for each in dropped] == ["p2", "p3"]
    assert rows[0].provenance.made_by[0].parameters["answers"] == 3


def test_a_judge_that_prefers_a_place_makes_no_pair(
    model: Model, answered: Path, tmp_path: Path
) -> None:
    """What changes with the order of the answers is a tie; three answers still have no winner."""
    server = model(lambda *_: says("VERDICT: A"))
    judge = {"endpoint": server.url, "model": "judge"}
    with pytest.raises(DataError, match=r"no row is left \(3 a tie, 1 only one answer"):
        paired(answered, server.url, {"judge": judge}, tmp_path / "out")


def test_answers_without_a_verdict_are_not_paired(
    model: Model, answered: Path, tmp_path: Path
) -> None:
    """Of three answers the two with a verdict are; a prompt without one is dropped."""

    def script(body: dict[str, Any], _: int) -> Answer | None:
        content = body["messages"][-1]["content"]
        silent = "a longer one" in content or "yes indeed" in content
        return says("I would rather not say.") if silent else None

    server = model(script)
    judge = {"endpoint": server.url, "model": "judge"}
    report, rows, _ = paired(answered, server.url, {"judge": judge}, tmp_path / "out")
    assert [(row.chosen, row.rejected) for row in rows] == [("the longest of all", "short")]
    assert report.steps[0].dropped["no verdict on two answers"] == 1


def test_failed_judge_calls_stop_the_run(model: Model, answered: Path, tmp_path: Path) -> None:
    """As elsewhere, the same command repeats only these."""
    server = model(lambda *_: (500, {}, b"down"))
    judge = {"endpoint": server.url, "model": "judge", "attempts": 1}
    with pytest.raises(ResourceError, match="pairs: 10 of 10 judge calls failed"):
        paired(answered, server.url, {"judge": judge}, tmp_path / "out")


def test_rules_and_grades_judge_each_answer_alone(
    model: Model, answered: Path, tmp_path: Path
) -> None:
    """A pattern as a judge of something bad prefers the answers without it."""
    preference = {
        "judge": {"regex": "longe"},
        "measure": {"rate": "matched"},
        "better": "lower",
    }
    server = model()
    report, rows, _ = paired(answered, server.url, preference, tmp_path / "out")
    assert server.calls == []
    assert [(row.chosen, row.rejected, row.margin) for row in rows] == [
        ("short", "the longest of all", 1.0)
    ]
    assert report.steps[0].dropped == {"a tie": 2, "only one answer to the prompt": 1}


def test_a_least_margin_is_in_the_units_of_the_measure(
    model: Model, answered: Path, tmp_path: Path
) -> None:
    """Grades from 0 to 10 that differ by less are no pair, and counted."""

    def grade(body: dict[str, Any], _: int) -> Answer:
        content = body["messages"][-1]["content"]
        return says(f"VERDICT: {9 if 'longest' in content else 5 if 'yes' in content else 3}")

    server = model(grade)
    judge = {"endpoint": server.url, "model": "judge"}
    preference = {"judge": judge, "measure": {"mean": [0, 10]}, "least_margin": 4}
    report, rows, _ = paired(answered, server.url, preference, tmp_path / "out")
    assert [(row.chosen, row.margin) for row in rows] == [("the longest of all", 6.0)]
    assert report.steps[0].dropped["margin below 4"] == 1


@pytest.mark.parametrize("measure", ["win_rate", {"mean": [0, 10]}])
def test_a_plan_pairs_answers_of_every_model_and_temperature(
    model: Model, seeds: Path, tmp_path: Path, measure: Any
) -> None:
    """Stand-ins differ as answers would, so that the calls of the judge are counted."""
    server = model()
    judge = {"endpoint": server.url, "model": "judge"}
    steps = [
        {"answer": "plain", "models": ["a", "b"], "temperatures": [0, 1]},
        {"pairs": {"judge": judge, "measure": measure}},
    ]
    models = {name: {"folder": name} for name in "ab"}
    planned = plan(made(seeds, server.url, steps, models=models), tmp_path / "out")
    assert planned.steps[1].made == 3
    (usage,) = planned.steps[1].models.values()
    assert usage.calls == (3 * 2 * 6 if measure == "win_rate" else 3 * 4)
