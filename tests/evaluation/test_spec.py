"""Specifications of an evaluation say what is wrong with them, and stay light."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.measures.rate import Rate
from mixmerge.evaluation.measures.win_rate import WinRate
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.spec import AxisSpec, EvaluateSpec

RULES = {"rules": "testbed"}
AXIS = {"prompts": {"testbed": "general"}, "judge": RULES, "measure": "win_rate"}
CLASSIFIER = {"classifier": "c", "labels": {"bad": "yes", "fine": "no"}}


def test_importing_specs_loads_nothing_heavy() -> None:
    """Specifications are read without torch, transformers, datasets or anything that calls."""
    code = (
        "import sys, mixmerge.evaluation.spec; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'matplotlib', 'aiohttp', "
        "'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("measure", "read"),
    [
        ("win_rate", WinRate()),
        ({"win_rate": "base"}, WinRate()),
        ({"rate": "harmful"}, Rate(rate="harmful")),
        ({"rate": "harmful", "relative": True}, Rate(rate="harmful", relative=True)),
    ],
)
def test_a_measure_is_told_apart_by_its_key(measure: Any, read: object) -> None:
    """One word stands for a measure with its defaults; anything else has its key."""
    assert AxisSpec.model_validate({**AXIS, "measure": measure}).measure == read


def test_a_mean_has_its_bounds() -> None:
    """One word means fractions; a judge of grades is needed for either."""
    graded = {**AXIS, "judge": "exact_match"}
    assert AxisSpec.model_validate({**graded, "measure": "mean"}).measure == Mean()
    ten = AxisSpec.model_validate({**graded, "measure": {"mean": [0, 10]}})
    assert ten.measure == Mean(mean=(0, 10))
    assert ten.better == "higher"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "wins"}, "a measure has one of the keys `win_rate`, `rate`, `mean`"),
        ({"measure": "rate"}, "a measure has one of the keys"),
        ({"measure": {"rate": "harmful", "relativ": True}}, "Extra inputs are not permitted"),
        ({"better": "more"}, "Input should be 'higher' or 'lower'"),
        ({"measure": {"mean": [0, 1]}}, "a judge `rules` gives no grades, as the measure `mean`"),
        (
            {"measure": {"rate": "rude"}},
            "a judge `rules` recognizes `correct`, `harmful`, `refused`, not `rude`",
        ),
        (
            {"judge": "exact_match"},
            "a judge `exact_match` reads single answers and cannot compare two, as the measure",
        ),
        ({"judge": CLASSIFIER}, "`classifier` reads single answers and cannot compare two"),
        ({"judge": {"panel": [RULES, "exact_match"]}}, "reads single answers and cannot compare"),
    ],
)
def test_a_measure_that_the_judge_cannot_feed_is_refused(
    change: dict[str, Any], message: str
) -> None:
    """When the axis is read, and not after models have answered; one message each."""
    with pytest.raises(ValidationError, match=message) as raised:
        AxisSpec.model_validate(AXIS | change)
    assert raised.value.error_count() == 1


@pytest.mark.parametrize("key", ["prompts", "judge", "measure"])
def test_an_axis_says_all_that_it_needs(key: str) -> None:
    """What is asked, who judges, and what is counted: nothing is assumed."""
    with pytest.raises(ValidationError, match=rf"{key}\n +Field required"):
        AxisSpec.model_validate({k: v for k, v in AXIS.items() if k != key})


def test_axes_keep_their_order_and_names() -> None:
    """Any names in the order of the file; those that decide keep it, too."""
    axes = dict.fromkeys(("zeal", "Ante-2", "mid.dle"), AXIS)
    spec = EvaluateSpec.model_validate({"axes": axes})
    assert list(spec.axes) == list(spec.deciding) == ["zeal", "Ante-2", "mid.dle"]
    some = EvaluateSpec.model_validate({"axes": axes, "decide_on": ["mid.dle", "zeal"]})
    assert some.deciding == ("zeal", "mid.dle")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"axes": {}}, "at least 1 item"),
        ({"axes": {"../etc": AXIS}}, "String should match pattern"),
        ({"axes": {"a": AXIS}, "draws": 999}, "greater than or equal to 1000"),
        ({"axes": {"a": AXIS}, "decoding": {"max_new_tokens": 0}}, "greater than or equal to 1"),
        ({"general": AXIS}, r"axes\n +Field required"),
    ],
)
def test_a_wrong_evaluation_names_its_problem(spec: dict[str, Any], message: str) -> None:
    """Axes are there, their names can be files, and numbers are in their ranges."""
    with pytest.raises(ValidationError, match=message):
        EvaluateSpec.model_validate(spec)


def test_a_baseline_is_one_name_or_several() -> None:
    """One for all stages, one for each, or none."""
    axes = {"a": AXIS}
    assert EvaluateSpec.model_validate({"axes": axes}).baseline == ()
    for named in ("mix15", ["mix15"]):
        read = EvaluateSpec.model_validate({"axes": axes, "baseline": named})
        assert read.baseline == ("mix15",)
    read = EvaluateSpec.model_validate({"axes": axes, "baseline": ["mix15", "dpo"]})
    assert read.baseline == ("mix15", "dpo")


def test_other_prompts_leave_out_axes_without_them() -> None:
    """A choice among checkpoints asks other items, on some axes; all else stays."""
    spec = EvaluateSpec.model_validate({"axes": {"a": AXIS, "b": AXIS}, "draws": 1000})
    other = PromptSetSpec(testbed="safety", split="dev")
    made = spec.with_prompts([("b", other)])
    assert list(made.axes) == ["b"]
    assert made.axes["b"] == spec.axes["b"].model_copy(update={"prompts": other})
    assert made.draws == 1000


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            {},
            "exactly one of `testbed`, `set`, `files` and `hub` .seen: none; sets: aya_redteaming",
        ),
        ({"testbed": "general", "files": "a.jsonl"}, "exactly one of"),
        ({"files": []}, "name at least one file"),
        ({"files": "a.jsonl", "revision": "main"}, "belong to `hub`"),
        ({"set": "dolly_200"}, "Input should be 'aya_redteaming', 'dolly200'"),
        ({"set": "dolly200", "testbed": "general"}, "exactly one of `testbed` and `set`"),
        ({"set": "dolly200", "split": "train"}, "`set: dolly200` has its own `split`"),
        ({"set": "dolly200", "columns": {"id": "i"}}, "has its own `columns`"),
        (
            {"set": "dolly200", "files": "a.jsonl"},
            "`files` cannot be combined with `set",
        ),
        ({"set": "m_arena_hard", "translated": "human"}, "`translated` cannot be combined with"),
        ({"set": "xstest", "files": "hi.csv"}, "`files` are translations, one file per language"),
        ({"set": "xstest", "files": {"hi": "hi.csv"}}, "say who translated the `files`"),
        ({"testbed": "general", "hub": "org/set"}, "exactly one of .*seen: testbed, hub"),
    ],
)
def test_a_wrong_prompt_set_names_its_problem(prompts: dict[str, Any], message: str) -> None:
    """A prompt set has one origin, and only the settings of that origin."""
    with pytest.raises(ValidationError, match=message):
        PromptSetSpec.model_validate(prompts)
