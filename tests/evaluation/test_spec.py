"""Specifications say what is wrong with them, and stay light."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mixmerge.evaluation import (
    ClassifierJudgeSpec,
    EndpointJudgeSpec,
    EvaluateJob,
    EvaluateSpec,
    HumanJudgeSpec,
    JudgeSpec,
    LocalJudgeSpec,
    PanelJudgeSpec,
    PromptSetSpec,
    RuleJudgeSpec,
)

AXIS = {"prompts": {"testbed": "test"}, "judge": {"rules": "testbed"}}
JUDGE: TypeAdapter[JudgeSpec] = TypeAdapter(JudgeSpec)


def test_importing_specs_loads_nothing_heavy() -> None:
    """The part's specifications can be read without torch, transformers, datasets or numpy."""
    code = (
        "import sys, mixmerge.evaluation; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'numpy', 'aiohttp') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_judge_is_told_apart_by_its_keys() -> None:
    """`rules` makes a rule judge, anything else an endpoint judge."""
    assert JUDGE.validate_python({"rules": "testbed"}) == RuleJudgeSpec(rules="testbed")
    endpoint = JUDGE.validate_python({"endpoint": "http://localhost:8000/v1", "model": "m"})
    assert isinstance(endpoint, EndpointJudgeSpec)


@pytest.mark.parametrize(
    ("judge", "kind"),
    [
        ({"local": "models/judge"}, LocalJudgeSpec),
        ({"classifier": "c", "labels": {"bad": "yes", "fine": "no"}}, ClassifierJudgeSpec),
        ({"human": "labels"}, HumanJudgeSpec),
        ({"panel": [{"rules": "testbed"}, {"human": "labels"}]}, PanelJudgeSpec),
    ],
)
def test_other_judges_are_told_apart_too(judge: dict[str, Any], kind: type) -> None:
    """Local models, classifiers, people and panels each have a key of their own."""
    assert isinstance(JUDGE.validate_python(judge), kind)


def test_what_a_judge_means_leaves_its_place_out(tmp_path: Path) -> None:
    """A folder counts by content: moved, or read in other batches, the judge is the same."""
    meanings = []
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        members = [
            {"local": str(folder), "batch_size": len(name)},
            {"classifier": str(folder), "labels": {"bad": "yes", "fine": "no"}},
            {"human": str(folder)},
            {"local": "org/judge@v1"},
        ]
        spec = JUDGE.validate_python({"panel": members})
        assert spec.paths() == {f"{index}:folder": folder for index in range(3)}
        meanings.append(spec.meaning())
    assert meanings[0] == meanings[1]
    assert meanings[0]["panel"][3]["local"] == "org/judge@v1"
    assert str(tmp_path) not in str(meanings)


def test_a_classifier_cannot_judge_the_general_axis() -> None:
    """It reads single answers; alone or on a panel it is refused where two are compared."""
    classifier = {"classifier": "c", "labels": {"bad": "yes", "fine": "no"}}
    for judge in (classifier, {"panel": [{"rules": "testbed"}, classifier]}):
        axis = {**AXIS, "judge": judge}
        with pytest.raises(ValidationError, match="compares two answers, which a `classifier`"):
            EvaluateSpec.model_validate({"general": axis, "safety": AXIS})
        assert EvaluateSpec.model_validate({"general": AXIS, "safety": axis}).safety.judge


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ({"classifier": "c", "labels": {"a": "no", "b": "no"}}, "a label that means `yes`"),
        ({"panel": []}, "at least 1 item"),
        ({"clasifier": "c"}, "a judge has one of the keys `panel`, `rules`, `local`"),
        ({"panel": [{"panel": [{"rules": "testbed"}]}]}, "cannot be a panel itself"),
        ({"local": "m", "threshold": 0.5}, "Extra inputs are not permitted"),
        ({"model": "m"}, r"endpoint\n +Field required"),
        ({"endpoint": "localhost:8000", "model": "m"}, "String should match pattern"),
        ({"rules": "testbed", "model": "m"}, "Extra inputs are not permitted"),
        ({"endpoint": "http://x", "model": "m", "api_key": "s"}, "Extra inputs"),
    ],
)
def test_a_wrong_judge_names_its_problem(judge: dict[str, Any], message: str) -> None:
    """Each mistake gives the message of the kind of judge that was meant, not of both."""
    with pytest.raises(ValidationError, match=message) as raised:
        JUDGE.validate_python(judge)
    assert raised.value.error_count() == 1


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            {},
            "exactly one of `testbed`, `set`, `files` and `hub` .seen: none; sets: aya_redteaming",
        ),
        ({"testbed": "test", "files": "a.jsonl"}, "exactly one of"),
        ({"files": []}, "name at least one file"),
        ({"files": "a.jsonl", "revision": "main"}, "belong to `hub`"),
        ({"set": "dolly_200"}, "Input should be 'aya_redteaming', 'dolly200'"),
        ({"set": "dolly200", "testbed": "dev"}, "exactly one of `testbed` and `set`"),
        ({"set": "dolly200", "split": "train"}, "`set: dolly200` knows its own `split`"),
        ({"set": "dolly200", "columns": {"id": "i"}}, "knows its own `columns`"),
        ({"set": "dolly200", "files": "a.jsonl"}, "`files` does not go with `set: dolly200`"),
        ({"set": "m_arena_hard", "translated": "human"}, "`translated` does not go with"),
        ({"set": "xstest", "files": "hi.csv"}, "`files` are translations, one file a language"),
        ({"set": "xstest", "files": {"hi": "hi.csv"}}, "say who translated the `files`"),
        ({"testbed": "train"}, "Input should be 'dev' or 'test'"),
    ],
)
def test_a_wrong_prompt_set_names_its_problem(prompts: dict[str, Any], message: str) -> None:
    """A prompt set has one origin, and only the settings of that origin."""
    with pytest.raises(ValidationError, match=message):
        PromptSetSpec.model_validate(prompts)


def test_axes_keep_their_order_and_over_refusal_is_optional() -> None:
    """The axes are general, safety and, when asked for, over-refusal."""
    spec = EvaluateSpec.model_validate({"safety": AXIS, "general": AXIS})
    assert list(spec.axes()) == ["general", "safety"]
    spec = EvaluateSpec.model_validate({"over_refusal": AXIS, "safety": AXIS, "general": AXIS})
    assert list(spec.axes()) == ["general", "safety", "over_refusal"]


def test_speed_and_address_of_a_judge_are_not_its_meaning() -> None:
    """Another address or concurrency leaves the meaning alone; another rubric changes it."""
    first = EndpointJudgeSpec(endpoint="http://a/v1", model="m")
    moved = EndpointJudgeSpec(endpoint="http://b/v1", model="m", concurrency=2, attempts=1)
    other = EndpointJudgeSpec(endpoint="http://a/v1", model="m", harm_rubric="harm@2")
    assert first.meaning() == moved.meaning() != other.meaning()


def test_a_job_takes_folders_or_descriptions_of_models() -> None:
    """A model is its folder, or its folder with what it is."""
    job = {"languages": ["en"], "base": "b", "evaluate": {"general": AXIS, "safety": AXIS}}
    made = EvaluateJob.model_validate(
        {**job, "models": {"mix": "m", "slerp": {"path": "s", "kind": "merge"}}}
    )
    assert made.models["mix"].path == Path("m")
    assert made.models["slerp"].kind == "merge"
    with pytest.raises(ValidationError, match="`base` cannot name a model"):
        EvaluateJob.model_validate({**job, "models": {"base": "m"}})
    job["evaluate"] = {"general": AXIS, "safety": AXIS, "baseline": "mix15"}
    with pytest.raises(ValidationError, match="'mix15', which is not among `models`: mix"):
        EvaluateJob.model_validate({**job, "models": {"mix": "m"}})
