"""A budget given with a command holds for every judge that has a price."""

from pathlib import Path

import pytest
import yaml

from mixmerge import evaluate
from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.judges.panel import PanelJudgeSpec
from mixmerge.study.budget import with_budget
from mixmerge.study.check import parse_study
from mixmerge.study.spec import Study

PAID = {"endpoint": "http://a/v1", "model": "paid", "price": {"input": 1, "output": 2}}
FREE = {"endpoint": "http://b/v1", "model": "free"}
RULES = {"rules": "testbed"}


def asked(quality: object, harm: object = RULES) -> Study:
    prompts = {"testbed": "safety"}
    axes = {
        "quality": {"prompts": prompts, "judge": quality, "measure": "win_rate"},
        "harm": {"prompts": prompts, "judge": harm, "measure": {"rate": "harmful"}},
    }
    study = {"base": "testbed", "checkpoints": {"m": "testbed"}, "evaluate": {"axes": axes}}
    return parse_study(yaml.safe_dump(study), "asked.yaml")


def test_every_paid_judge_gets_it() -> None:
    """Alone or on a panel, whatever the file said; free ones stay as they are."""
    given = with_budget(asked(PAID | {"budget": 1}, {"panel": [PAID, FREE, FREE]}), 7.5)
    quality, harm = given.evaluate.judged["quality"].judge, given.evaluate.judged["harm"].judge
    assert isinstance(quality, EndpointJudgeSpec)
    assert isinstance(harm, PanelJudgeSpec)
    members = [member for member in harm.panel if isinstance(member, EndpointJudgeSpec)]
    assert [judge.budget for judge in (quality, *members)] == [7.5, 7.5, None, None]


def test_a_model_behind_an_endpoint_gets_it_too() -> None:
    """What answers may cost money as what judges does: both spend from one purse."""
    served = asked(FREE).model_dump(mode="json", exclude_unset=True)
    served["checkpoints"] = {"m": {"generate": PAID}}
    m = with_budget(Study.model_validate(served), 2).given()["m"]
    assert m.generate is not None
    assert m.generate.budget == 2


def test_nothing_else_changes() -> None:
    """Without the budget the specification is what it was."""
    before = asked(PAID | {"budget": 3})
    assert with_budget(with_budget(before, 7), 3) == before


@pytest.mark.parametrize("judge", [RULES, FREE], ids=["rules", "no price"])
def test_a_budget_without_a_price_is_refused(judge: object) -> None:
    """Where nothing has a price a budget would promise what cannot be kept."""
    with pytest.raises(SpecError, match="endpoint with its price"):
        with_budget(asked(judge), 5)


def test_the_command_takes_it(tmp_path: Path) -> None:
    """`evaluate` applies it before anything is read or asked."""
    with pytest.raises(SpecError, match="endpoint with its price"):
        evaluate(asked(FREE), tmp_path / "out", budget=5)
    assert not (tmp_path / "out").exists()


def test_a_judge_whose_answers_have_no_limit_is_refused() -> None:
    """A budget that an answer could pass is none: one message, as for a budget in the file."""
    with pytest.raises(SpecError, match="`budget` needs a limit of every answer"):
        with_budget(asked(PAID | {"fields": {"max_tokens": None}}), 5)
