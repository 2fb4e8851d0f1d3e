"""What a run will miss is said before it begins."""

import importlib.util
from pathlib import Path

import pytest

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.study.explain import explain
from mixmerge.study.preflight import check_packages, missing_keys
from mixmerge.study.run import run

STUDY = """
base: testbed
checkpoints: {tuned: ./tuned}
evaluate:
  axes:
    safe: {prompts: {testbed: safety}, judge: JUDGE, measure: {rate: harmful}, better: lower}
"""
JUDGE = "{endpoint: 'http://localhost:9/v1', model: m, api_key_env: NO_SUCH_KEY}"


def test_a_missing_key_stops_a_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan` says which key is missing, and `run` starts nothing without it."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "config.json").write_text("{}")
    study, out = tmp_path / "study.yaml", tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    study.write_text(STUDY.replace("JUDGE", JUDGE))
    (said,) = explain(study, out).missing
    assert "NO_SUCH_KEY, which holds a key, is not set: judge/base and 1 more steps" in said
    with pytest.raises(SpecError, match=r"NO_SUCH_KEY.*Set it before the run.*--only"):
        run(study, out)
    assert not list(out.glob("generate/*"))
    monkeypatch.setenv("NO_SUCH_KEY", "k")
    assert explain(study, out).missing == []


def test_a_missing_package_stops_a_run_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only a training that will run and asks for 4-bit weights needs bitsandbytes."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    settings = {"adapter": {"load_in_4bit": True}}
    before, training = Step("mix", "all"), Step("train", "sft", settings=settings)
    planned = [Planned(before, "to do"), Planned(training, "to do")]
    with pytest.raises(ResourceError, match="needs the package bitsandbytes"):
        check_packages(planned, None)
    check_packages(planned, [before.id])
    check_packages([Planned(training, "done")], None)
    check_packages([Planned(Step("train", "sft", settings={"adapter": {}}), "to do")], None)


def test_only_steps_that_will_run_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is done, or not wanted, needs none; keys of a panel's members are found."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    panel = {"axes": {"safe": {"panel": [{"api_key_env": "NO_SUCH_KEY"}, {"model": "m"}]}}}
    before = Step("generate", "sft")
    judge = Step("judge", "sft", inputs={"answers": before.id}, placement=panel)
    planned = [Planned(before, "to do"), Planned(judge, "to do")]
    assert len(missing_keys(planned)) == 1
    assert missing_keys(planned, [judge.id]) == missing_keys(planned)
    assert missing_keys(planned, [before.id]) == []
    assert missing_keys([planned[0], Planned(judge, "done")]) == []
