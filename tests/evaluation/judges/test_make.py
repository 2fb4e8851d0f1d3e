"""Specifications become judges of the kind that they describe."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.evaluation.endpoint_server import Serve, says

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges.endpoint import EndpointJudge
from mixmerge.evaluation.judges.human import HumanJudge
from mixmerge.evaluation.judges.local import LocalJudge
from mixmerge.evaluation.judges.make import JudgeOf, make_judge, of_people
from mixmerge.evaluation.judges.panel import PanelJudge
from mixmerge.evaluation.spec import JudgeSpec
from mixmerge.files import write_rows
from mixmerge.records import Prompt, Response, Verdict
from mixmerge.testbed.judge import RuleJudge

JUDGE: TypeAdapter[JudgeSpec] = TypeAdapter(JudgeSpec)
ENDPOINT = {"endpoint": "http://localhost:8000/v1", "model": "m"}


def make(folder: Path, **spec: Any) -> JudgeOf:
    rules = {"testbed": RuleJudge()}
    read = JUDGE.validate_python(spec)
    return make_judge(read, folder / "calls.jsonl", folder=folder, rule_judges=rules)


def test_one_judge_for_all_models(tiny_model: Path, tmp_path: Path) -> None:
    """A judge that needs no files of a model is made, and its weights loaded, once."""
    for spec, kind in (
        ({"rules": "testbed"}, RuleJudge),
        (ENDPOINT, EndpointJudge),
        ({"local": str(tiny_model)}, LocalJudge),
    ):
        judge_of = make(tmp_path, **spec)
        assert isinstance(judge_of("a"), kind)
        assert judge_of("a") is judge_of("b")


def test_people_judge_each_model_in_its_folder(tmp_path: Path) -> None:
    """`MODEL/AXIS.jsonl` below the folder holds the verdicts on that model."""
    for model, outcome in (("a", "yes"), ("b", "no")):
        row = {"prompt": "q", "cluster": "q", "language": "en", "axis": "safety", "judge": "ann"}
        verdict = Verdict.model_validate({**row, "outcome": outcome})
        write_rows(tmp_path / "people" / model / "safety.jsonl", [verdict])
    judge_of = make(tmp_path, human="people")
    assert isinstance(judge_of("a"), HumanJudge)
    assert judge_of("a").name != judge_of("b").name


def test_a_panel_has_its_members(tmp_path: Path) -> None:
    """Every member is made as it would be alone."""
    judge = make(tmp_path, panel=[{"rules": "testbed"}, ENDPOINT], keep="all")("a")
    assert isinstance(judge, PanelJudge)
    assert judge.name.startswith("panel of rules@1; m (")
    assert judge.name.endswith("(all)")


def test_people_are_found_on_panels_too() -> None:
    """Whether people decide is known from the specification."""
    people = {"human": "labels"}
    assert of_people(JUDGE.validate_python(people))
    assert of_people(JUDGE.validate_python({"panel": [{"rules": "testbed"}, people]}))
    assert not of_people(JUDGE.validate_python(ENDPOINT))


def test_unknown_judges_are_said(tmp_path: Path) -> None:
    """Rules that are not there, and a model that is nowhere, give one message each."""
    with pytest.raises(SpecError, match=r"no rules 'testbed' to judge by \(known: none\)"):
        make_judge(JUDGE.validate_python({"rules": "testbed"}), tmp_path / "calls.jsonl")


def test_a_model_that_is_nowhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off line, a name that is no folder here is one message."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"nobody/nothing@main: no such folder, and it"):
        make(tmp_path, local="nobody/nothing@main")


def test_one_model_sits_on_a_panel_in_two_ways(
    tmp_path: Path, questions: list[Prompt], serve: Serve
) -> None:
    """Two temperatures are two votes, told apart by a digest; the same one twice is refused."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    asked = {"endpoint": server.url, "model": "m", "structured": "never"}
    warm = {**asked, "temperature": 1.0}
    judge = make(tmp_path, panel=[asked, warm], keep="all")("a")
    answers = [
        Response(prompt=q.id, text="no", finish_reason="stop", tokens=1) for q in questions[:1]
    ]
    verdicts = judge.classify("safety", questions[:1], answers)
    assert len({verdict.judge for verdict in verdicts}) == len(server.calls) == 2
    (verdict,) = make(tmp_path, panel=[asked, warm])("a").classify("safety", questions[:1], answers)
    assert (verdict.outcome, len(verdict.votes)) == ("no", 2)
    with pytest.raises(SpecError, match=r"panel: the judge m .* is named twice"):
        make(tmp_path, panel=[asked, {**asked, "concurrency": 2}])("a")
