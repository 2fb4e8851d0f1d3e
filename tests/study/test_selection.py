"""Tests of mixmerge.study.selection: choosing checkpoints on items of their own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SampleError, SpecError
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_json, write_rows
from mixmerge.progress import silent
from mixmerge.records import Axis, Verdict
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study
from mixmerge.study.steps import HANDLERS, steps
from mixmerge.study.steps.kind import model_path

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()
SWEEP = """\
  sft-slerp:
    merge: {method: slerp, models: [sft-0, sft-100]}
    sweep: {weight_of: sft-100, values: [0.3, [0, 1]]}
"""
SELECT = "  sft-mix: {select: [sft-0, sft-15]}\n"
ITEMS = "selection: {prompts: {general: {testbed: general}, safety: {testbed: safety}}}\n"


def study(checkpoints: str = SWEEP + SELECT, items: str = ITEMS) -> Study:
    """The small study with more checkpoints."""
    return parse_study(SMALL.replace("\nevaluate:", f"{checkpoints}\nevaluate:") + items, "x.yaml")


def by_id(of: Study) -> dict[str, Step]:
    return {step.id: step for step in steps(of)}


def test_a_sweep_tries_each_weight() -> None:
    """One merge for each value; the other models share the rest, layer by layer in a gradient."""
    tried = study().swept("sft-slerp")
    assert {name: merge.models for name, merge in tried.items()} == {
        "sft-slerp-0.3": {"sft-0": {"weight": 0.7}, "sft-100": {"weight": 0.3}},
        "sft-slerp-0_1": {"sft-0": {"weight": (1.0, 0.0)}, "sft-100": {"weight": (0.0, 1.0)}},
    }


def test_a_matched_sweep_is_measured_on_the_reported_items_too() -> None:
    """Every merge of a sweep of single weights is asked, from the smallest to the largest."""
    swept = SWEEP.replace("[0.3, [0, 1]]", "[0.7, 0.3]")
    text = SMALL.replace("\nevaluate:", f"{swept}\nevaluate:\n  match_on: safety")
    asked = parse_study(text + ITEMS, "x.yaml")
    assert asked.measured_sweeps() == {"sft-slerp": ["sft-slerp-0.3", "sft-slerp-0.7"]}
    planned = by_id(asked)
    assert planned["generate/sft-slerp-0.3"].inputs["prompts:general"] == "prompts/general"
    results = planned["results/study"]
    assert results.inputs["verdicts:sft-slerp-0.7"] == "judge/sft-slerp-0.7"
    assert "sft-slerp-0.7" not in results.settings["models"]


@pytest.mark.parametrize(
    ("sweep", "evaluate", "message"),
    [
        (SWEEP, "match_on: sefety", r"match_on: there is no `sefety`.*mean `safety`\?"),
        (SWEEP, "match_on: safety", "no checkpoint has a `sweep` of single weights"),
        (
            SWEEP.replace("[0, 1]", "0.5"),
            "match_on: safety",
            "needs another deciding axis",
        ),
    ],
)
def test_what_cannot_be_matched_is_refused(sweep: str, evaluate: str, message: str) -> None:
    """An axis that is none, a sweep of gradients, and one axis alone are the user's mistakes."""
    text = SMALL.replace("\nevaluate:", f"{sweep}\nevaluate:\n  {evaluate}")
    if "another" in message:
        text = text.replace("decide_on: [general, safety]", "decide_on: [safety]")
    with pytest.raises(SpecError, match=message):
        parse_study(text + ITEMS, "x.yaml")


def test_candidates_are_judged_on_selection_items_only() -> None:
    """A swept weight is never asked a test question; a selected checkpoint is asked both."""
    asked = by_id(study())
    assert "generate/sft-slerp-0.3" not in asked
    assert asked["generate/sft-slerp-0.3@selection"].inputs["prompts:general"] == (
        "prompts/general@selection"
    )
    assert "split" not in asked["prompts/general@selection"].settings  # `test` by default
    assert asked["prompts/general"].settings["split"] == "dev"
    assert {"generate/sft-0", "generate/sft-0@selection", "generate/sft-slerp"} <= asked.keys()
    sources = {source for step in asked.values() for source in step.inputs.values()}
    assert sources <= asked.keys()


def test_the_choice_never_sees_the_report_items() -> None:
    """Nothing that a choice is made from, at any distance, holds the prompts of `evaluate`."""
    asked = by_id(study())
    seen, open_steps = set[str](), ["select/sft-slerp", "select/sft-mix"]
    while open_steps:
        step = asked[open_steps.pop()]
        seen.add(step.id)
        # A mixture is cleaned of the prompts of both; it does not look at any answer.
        open_steps += [source for source in step.inputs.values() if step.kind != "mix"]
    assert "prompts/general@selection" in seen
    assert not {"prompts/general", "prompts/safety", "prompts/over_refusal"} & seen


def test_training_rows_overlap_with_neither_items() -> None:
    """A mixture holds out the prompts of evaluation and of selection."""
    held_out = [role for role in by_id(study())["mix/safety-15-chats"].inputs if "held" in role]
    assert "held_out:general@selection" in held_out
    assert "held_out:general" in held_out


def test_a_chosen_checkpoint_has_the_candidates_behind_it() -> None:
    """Stage, kind and the trainings that its cost is counted from follow from the candidates."""
    of = study()
    assert of.chosen() == {
        "sft-slerp": ["sft-slerp-0.3", "sft-slerp-0_1"],
        "sft-mix": ["sft-0", "sft-15"],
    }
    assert (of.kind("sft-mix"), of.kind("sft-slerp")) == ("mixture", "merge")
    assert (of.stage("sft-mix"), of.shares("sft-mix")) == ("sft", None)
    assert of.ancestors("sft-mix") == ["sft-0", "sft-15", "sft-mix"]


def test_a_study_that_chooses_nothing_has_no_such_steps() -> None:
    """Without a sweep or a selection there is no step on selection items."""
    assert not [step for step in by_id(study("", ITEMS)) if "selection" in step]


@pytest.mark.parametrize(
    ("checkpoints", "items", "message"),
    [
        (SWEEP, "", r"checkpoints\.sft-slerp: chooses among candidates, which needs `selection`"),
        (SELECT.replace("sft-15", "sft-51"), ITEMS, r"sft-mix\.select: there is no `sft-51`"),
        (SELECT.replace("sft-15", "dpo-15"), ITEMS, r"selects checkpoints of one stage only"),
        (SELECT.replace("sft-15", "sft-mix"), ITEMS, r"in a circle: sft-mix → sft-mix"),
        (SWEEP.replace("of: sft-100", "of: sft-1"), ITEMS, r"weight_of: there is no `sft-1`"),
        (SWEEP.replace("0.3", "1.3"), ITEMS, r"sweep\.values\.0: .*less than or equal to 1"),
        (SWEEP.replace("slerp, m", "passthrough, m"), ITEMS, r"passthrough"),
        (SWEEP.replace("[0, 1]", "0.30000001"), ITEMS, r"sweep\.values: two values are .*`0\.3`"),
        (
            SWEEP,
            ITEMS.replace("{testbed: safety}", "{testbed: safety, split: dev}"),
            r"selection\.prompts\.safety: has items of `evaluate\.axes\.safety`",
        ),
        (
            SWEEP,
            ITEMS.replace("}}}", "}}, weights: {over_refusal: 5}}"),
            r"selection\.weights\.over_refusal: counts nothing: `selection\.prompts` has no `over_",
        ),
        (
            SWEEP,
            ITEMS.replace("}}}", "}}, limits: {over_refusal: 0.2}}"),
            r"selection\.limits\.over_refusal: counts nothing: `selection\.prompts` has no `over_",
        ),
        (
            SWEEP,
            ITEMS.replace("general:", "generel:"),
            r"selection\.prompts\.generel: there is no `generel` in `evaluate\.axes` .*`general`\?",
        ),
        (
            SWEEP + "  sft-slerp-0.3: {train: sft, mixture: safety-0}\n",
            ITEMS,
            r"tries `sft-slerp-0\.3`, which is the name of another checkpoint",
        ),
        (
            SWEEP.replace("sft-100]", "sft-15]").replace("of: sft-100", "of: sft-15"),
            ITEMS + "report: {sample: 3}\n",
            r"report\.sample: unknown key",
        ),
    ],
)
def test_a_choice_that_cannot_be_made_is_explained(
    checkpoints: str, items: str, message: str
) -> None:
    """Each mistake in a sweep or selection is refused with its place and reason."""
    with pytest.raises(SpecError, match=message):
        study(checkpoints, items)


@pytest.mark.parametrize(
    ("selection", "shared"),
    [("here/a.jsonl", True), ("[b.jsonl, here/../here/a.jsonl]", True), ("b.jsonl", False)],
)
def test_items_are_told_apart_by_their_files(
    selection: str, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions to choose on may not stand in a file of the questions that are reported."""
    monkeypatch.chdir(tmp_path)
    text = SMALL.replace("\nevaluate:", f"{SELECT}\nevaluate:").replace(
        "{testbed: general, split: dev}", "{files: {en: here/a.jsonl}}"
    )
    text += ITEMS.replace("general: {testbed: general}", f"general: {{files: {selection}}}")
    if not shared:
        assert parse_study(text, "x.yaml").selection is not None
        return
    with pytest.raises(SpecError, match=r"selection\.prompts\.general: has items of `eval"):
        parse_study(text, "x.yaml")


def test_a_merge_of_one_model_can_be_swept() -> None:
    """Without other models there is no rest to share."""
    one = """\
  sft-part:
    merge: {method: task_arithmetic, models: [sft-100]}
    sweep: {weight_of: sft-100, values: [0.3, [0, 1]]}
"""
    tried = study(one).swept("sft-part")
    assert [merge.models for merge in tried.values()] == [
        {"sft-100": {"weight": 0.3}},
        {"sft-100": {"weight": (0.0, 1.0)}},
    ]


def verdicts(axis: Axis, outcomes: Sequence[str]) -> list[Verdict]:
    return [
        Verdict.model_validate(
            {"prompt": f"p{i}", "cluster": f"c{i}", "language": "en", "axis": axis,
             "judge": "rules@1", "outcome": outcome}
        )
        for i, outcome in enumerate(outcomes)
    ]  # fmt: skip


def chosen(
    folder: Path,
    rates: dict[str, tuple[str, str]],
    win: float,
    harm: float,
    limits: dict[Axis, float] | None = None,
) -> Path:
    """Run the choice among models with these outcomes (general, safety), a letter a prompt.

    Win rates and harm rates count with the given weights.
    """
    words = {"w": "win", "t": "tie", "l": "loss", "y": "yes", "n": "no", "?": "unreadable"}
    inputs = {}
    for name, (general, safety) in rates.items():
        inputs[f"model:{name}"] = folder / "merge" / name
        (inputs[f"model:{name}"] / "model").mkdir(parents=True)
        inputs[f"verdicts:{name}"] = folder / "judge" / name
        for axis, letters in (("general", general), ("safety", safety)):
            rows = verdicts(axis, [words[letter] for letter in letters])
            write_rows(folder / "judge" / name / f"{axis}.jsonl", rows)
    out = folder / "select" / "chosen"
    out.mkdir(parents=True)
    axes: dict[Axis, dict[str, Any]] = {
        "general": {"measure": "win_rate", "weight": win},
        "safety": {"measure": {"rate": "harmful"}, "better": "lower", "weight": harm},
    }
    for axis, limit in (limits or {}).items():
        axes[axis]["limit"] = limit
    settings = {"candidates": [*rates], "axes": axes}
    task = Task("select", "chosen", settings, inputs, {}, {}, out, folder / "cache")
    HANDLERS["select"](task, silent)
    return out


RATES = {"a": ("wwll", "yynn"), "b": ("wltl", "nnnn"), "c": ("wwwl", "yyyy")}
"""Win rates 0.5, 0.375 and 0.75; harm rates 0.5, 0 and 1."""


@pytest.mark.parametrize(
    ("win", "harm", "winner"),
    [(1, 1, "b"), (1, 0, "c"), (0, 0, "a")],
)
def test_the_best_score_wins(tmp_path: Path, win: float, harm: float, winner: str) -> None:
    """Win rate minus harm rate decides, with the weights that were asked; of equals, the first."""
    out = chosen(tmp_path, RATES, win, harm)
    assert read_json(out / "selection.json")["winner"] == winner
    assert model_path(out).resolve() == (tmp_path / "merge" / winner / "model").resolve()


@pytest.mark.parametrize(
    ("limits", "winner", "within"),
    [
        ({"safety": 0.5}, "a", "ab"),
        ({"safety": 0.4}, "b", "b"),
        ({"general": 0.6}, "c", "c"),
        ({"general": 0.5, "safety": 0.5}, "a", "a"),
        ({"general": 0.6, "safety": 0.4}, "a", ""),
    ],
)
def test_limits_come_before_scores(
    tmp_path: Path, limits: dict[Axis, float], winner: str, within: str
) -> None:
    """The best score within all limits wins, and where none is within, the nearest."""
    found = read_json(chosen(tmp_path, RATES, 1, 0, limits) / "selection.json")
    assert found["winner"] == winner
    assert found["limits"] == limits
    assert [n for n, own in found["candidates"].items() if own["within_limits"]] == [*within]


def test_a_candidate_without_verdicts_is_named(tmp_path: Path) -> None:
    """Where the judge said nothing readable of a candidate, nothing is chosen."""
    with pytest.raises(SampleError, match="a: none of 4 prompts has a verdict on `safety`"):
        chosen(tmp_path, {"a": ("wwll", "????"), "b": ("wltl", "nn?n")}, 1, 1)


def test_every_candidate_is_on_record(tmp_path: Path) -> None:
    """The whole grid is kept: rates and score of each candidate."""
    found = read_json(chosen(tmp_path, RATES, 1, 1) / "selection.json")
    assert found["candidates"]["b"] == {
        "general": 0.375,
        "safety": 0.0,
        "score": 0.375,
        "within_limits": True,
    }
    assert [*found["candidates"]] == ["a", "b", "c"]


def test_a_moved_run_keeps_its_choice(tmp_path: Path) -> None:
    """The pointer to the winner is relative."""
    chosen(tmp_path / "here", RATES, 1, 1)
    (tmp_path / "here").rename(tmp_path / "there")
    out = tmp_path / "there" / "select" / "chosen"
    assert not Path(json.loads((out / "model.json").read_text())["path"]).is_absolute()
    assert model_path(out).is_dir()
