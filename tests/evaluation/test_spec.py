"""Specifications refuse what cannot be evaluated, in words that say what to do."""

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.spec import EvaluateSpec

PROMPTS = {"testbed": "general"}
HARM = {"prompts": PROMPTS, "judge": {"rules": "testbed"}, "measure": {"rate": "harmful"}}
CLASSIFIER = {"classifier": "c", "labels": {"bad": "yes", "fine": "no"}}


def test_importing_specs_loads_nothing_heavy() -> None:
    """The part's specifications can be read without torch, transformers or datasets."""
    code = (
        "import sys, mixmerge.evaluation.judges; "
        "print([m for m in ('torch', 'transformers', 'datasets', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("judge", [CLASSIFIER, {"panel": [{"rules": "testbed"}, CLASSIFIER]}])
def test_a_judge_must_be_able_to_answer_the_measure(judge: dict[str, Any]) -> None:
    """A classifier, alone or on a panel, does not compare two answers; the axis is named."""
    axis = {**HARM, "judge": judge}
    assert EvaluateSpec.model_validate({"axes": {"safe": axis}}).axes["safe"].judge
    compared = {"axes": {"helpful": {**axis, "measure": "win_rate"}}}
    with pytest.raises(
        ValidationError, match=r"axes\.helpful\n.*cannot compare two, as"
    ):
        EvaluateSpec.model_validate(compared)


def test_code_runs_only_where_the_study_allows_it() -> None:
    """A judge that runs code of models is refused by default, also on a panel."""
    axis = {**HARM, "measure": {"rate": "correct"}, "judge": {"panel": [{"tests": "python"}]}}
    with pytest.raises(
        ValidationError, match=r"judge of `code` runs .* `allow_execution: true`"
    ):
        EvaluateSpec.model_validate({"axes": {"code": axis}})
    spec = EvaluateSpec.model_validate({"axes": {"code": axis}, "allow_execution": True})
    assert spec.allow_execution


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
        ({"set": "dolly200", "split": "train"}, "`set: dolly200` knows its own `split`"),
        ({"set": "dolly200", "columns": {"id": "i"}}, "knows its own `columns`"),
        ({"set": "dolly200", "files": "a.jsonl"}, "`files` does not go with `set: dolly200`"),
        ({"set": "m_arena_hard", "translated": "human"}, "`translated` does not go with"),
        ({"set": "xstest", "files": "hi.csv"}, "`files` are translations, one file a language"),
        ({"set": "xstest", "files": {"hi": "hi.csv"}}, "say who translated the `files`"),
        ({"files": "a.jsonl", "split": "dev"}, "`split` belongs to `hub` and `testbed`"),
    ],
)
def test_a_wrong_prompt_set_names_its_problem(prompts: dict[str, Any], message: str) -> None:
    """A prompt set has one origin, and only the settings of that origin."""
    with pytest.raises(ValidationError, match=message):
        PromptSetSpec.model_validate(prompts)
