"""Tests of mixmerge.records.results: what a results file is."""

import re

import pytest

from mixmerge.errors import DataError
from mixmerge.records.results import Contrast, Results, read_results


@pytest.mark.parametrize("content", [{"schema": 1, "models": {}}, {}, [1]])
def test_results_of_another_schema_are_refused_by_name(content: object) -> None:
    """The message says which schema was seen, and the command that makes new results."""
    seen = content.get("schema") if isinstance(content, dict) else None
    message = f"old.json: results of schema 2 are required (seen: schema {seen})"
    with pytest.raises(DataError, match=re.escape(message) + ".*`mixmerge run STUDY`"):
        read_results(content, "old.json")


def test_a_contrast_can_be_looked_up_either_way_round() -> None:
    """Stored as a - b, it is found as b - a with difference and interval turned round."""
    stored = Contrast(
        a="merge", b="mix", axis="x", difference=0.1, ci=(-0.1, 0.3), p=0.2, p_adjusted=0.4, n=50
    )
    found = Results(study="s", base="base", axes={}, models={}, contrasts=(stored,))
    assert found.contrast("merge", "mix", "x") == stored
    turned = found.contrast("mix", "merge", "x")
    assert turned is not None
    assert (turned.a, turned.b, turned.difference, turned.ci) == ("mix", "merge", -0.1, (-0.3, 0.1))
    assert found.contrast("merge", "mix", "y") is None
