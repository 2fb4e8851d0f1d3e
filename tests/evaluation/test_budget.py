"""A budget given with a command holds for every judge that has a price."""

from pathlib import Path

import pytest
import yaml

from mixmerge import evaluate
from mixmerge.errors import SpecError
from mixmerge.evaluation.budget import with_budget
from mixmerge.evaluation.spec import EndpointJudgeSpec, EvaluateJob, PanelJudgeSpec

PAID = {"endpoint": "http://a/v1", "model": "paid", "price": {"input": 1, "output": 2}}
FREE = {"endpoint": "http://b/v1", "model": "free"}
RULES = {"rules": "testbed"}


def job(general: object, safety: object = RULES) -> EvaluateJob:
    return EvaluateJob.model_validate(
        {
            "languages": ["en"],
            "base": "base",
            "models": {"m": "m"},
            "evaluate": {
                "general": {"prompts": {"testbed": "dev"}, "judge": general},
                "safety": {"prompts": {"testbed": "dev"}, "judge": safety},
            },
        }
    )


def test_every_paid_judge_gets_it() -> None:
    """Alone or on a panel, whatever the file said; free ones stay as they are."""
    given = with_budget(job(PAID | {"budget": 1}, {"panel": [PAID, FREE, FREE]}), 7.5)
    general, safety = given.evaluate.general.judge, given.evaluate.safety.judge
    assert isinstance(general, EndpointJudgeSpec)
    assert isinstance(safety, PanelJudgeSpec)
    members = [member for member in safety.panel if isinstance(member, EndpointJudgeSpec)]
    assert [judge.budget for judge in (general, *members)] == [7.5, 7.5, None, None]


def test_nothing_else_changes() -> None:
    """Without the budget the specification is what it was."""
    before = job(PAID | {"budget": 3})
    assert with_budget(with_budget(before, 7), 3) == before


@pytest.mark.parametrize("judge", [RULES, FREE], ids=["rules", "no price"])
def test_a_budget_without_a_price_is_refused(judge: object) -> None:
    """Where nothing has a price a budget would promise what cannot be kept."""
    with pytest.raises(SpecError, match="endpoint with its price"):
        with_budget(job(judge), 5)


def test_the_command_takes_it(tmp_path: Path) -> None:
    """`evaluate` applies it before anything is read or asked."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job(FREE).model_dump(mode="json")))
    with pytest.raises(SpecError, match="endpoint with its price"):
        evaluate(tmp_path / "job.yaml", tmp_path / "out", budget=5)
    assert not (tmp_path / "out").exists()


def test_a_judge_whose_answers_have_no_limit_is_refused() -> None:
    """A budget that an answer could pass is none: one message, as for a budget in the file."""
    with pytest.raises(SpecError, match="`budget` needs a limit of every answer"):
        with_budget(job(PAID | {"fields": {"max_tokens": None}}), 5)
