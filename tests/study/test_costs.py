"""Tests of mixmerge.study.costs: what a study would cost."""

from pathlib import Path

from mixmerge.study.check import parse_study
from mixmerge.study.costs import judge_calls

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()


def test_endpoints_on_a_panel_are_counted_too() -> None:
    """Every judge model behind an endpoint costs calls, alone or beside others."""
    endpoint = '{endpoint: "http://localhost:8000/v1", model: %s}'
    panel = f"{{panel: [{{rules: testbed}}, {endpoint % 'one'}, {endpoint % 'two'}]}}"
    old = "{testbed: over_refusal, split: dev}, judge: {rules: testbed}"
    assert old in SMALL
    text = SMALL.replace(old, f"{{testbed: over_refusal, split: dev}}, judge: {panel}")
    assert judge_calls(parse_study(text, "small.yaml"), [], {}).models == ["one", "two"]
    assert judge_calls(parse_study(SMALL, "small.yaml"), [], {}).models == []
