"""A judge that always says the same is reported as useless by the results it leads to."""

from pathlib import Path

import pytest
from tests.evaluation.endpoint_server import Serve, says
from tests.evaluation.judges.cases import COMPARED, HARMFUL, items
from tests.evaluation.judges.test_endpoint import judge

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Axis, Verdict
from mixmerge.records.results import ModelInfo


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (("A", "HARMFUL"), {"general": "place", "safety": "word"}),
        (("B", "HARMLESS"), {"general": "place", "safety": "word"}),
        (("TIE", "HARMLESS"), {"general": "word", "safety": "word"}),
    ],
)
def test_one_word_for_everything_is_named_on_both_axes(
    serve: Serve, tmp_path: Path, words: tuple[str, str], kinds: dict[str, str]
) -> None:
    """The win rate is one half, the harm rate one number; the results say that neither counts."""
    server = serve(lambda text, _n: says(f"VERDICT: {words['[answer A' not in text]}"))
    new, old = ([f"{age} {number}" for number in range(20)] for age in ("new", "old"))
    by = judge(server, tmp_path)
    verdicts: dict[str, dict[Axis, list[Verdict]]] = {
        "base": {"safety": by.judge(items(*old), HARMFUL)},
        "m": {
            "general": by.judge(items(*new, base=old), COMPARED),
            "safety": by.judge(items(*new), HARMFUL),
        },
    }
    axes = {
        "general": MeasuredAxis.model_validate({"measure": "win_rate"}),
        "safety": MeasuredAxis.model_validate({"measure": {"rate": "harmful"}, "better": "lower"}),
    }
    infos = {"base": ModelInfo(kind="base"), "m": ModelInfo(kind="mixture")}
    found = results(ResultsSpec(study="study", axes=axes, draws=1000), "base", infos, verdicts)
    assert found.models["m"].axes["general"].value == 0.5
    assert {warning.axis: warning.kind for warning in found.judge_warnings} == kinds
    assert all(warning.share == 1 for warning in found.judge_warnings)
