"""A real small model on this machine generates: the testbed's, whose poor results are kept."""

from pathlib import Path
from typing import Any

import pytest
from tests.synthesis.conftest import made

from mixmerge.files import read_rows
from mixmerge.study.standalone import generate_data
from mixmerge.synthesis.row import DROPPED, ROWS, DroppedRow, Row
from mixmerge.testbed.model import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("testbed") / "base"
    write_model(out)
    return out


def test_a_small_model_answers_and_can_do_nothing_else(
    folder: Path, seeds: Path, tmp_path: Path
) -> None:
    """It answers in a few words; it writes no JSON and no marks, and each reply is in the report.

    A second run loads no model and writes the same bytes.
    """
    steps: list[dict[str, Any]] = [
        {"rephrase": 2},
        {"translate": ["hi"], "of": "risks"},
        {"answer": "plain", "of": "risks", "temperatures": [0, 1]},
        {"contrast": "unhelpful"},
    ]
    for step in steps:
        step["max_tokens"] = 24
    spec = made(seeds, "http://unused", steps, models={"small": {"folder": str(folder)}})
    spec = spec.model_copy(update={"output": ("rephrase", "translate", "answer", "contrast")})
    report = generate_data(spec, tmp_path / "out")
    by_name = {step.name: step for step in report.steps}
    assert by_name["answer"].made + sum(by_name["answer"].dropped.values()) == 6
    assert by_name["answer"].made > 0
    for name, asked in (("rephrase", 3), ("translate", 3), ("contrast", by_name["answer"].made)):
        assert by_name[name].made == 0
        assert sum(by_name[name].dropped.values()) == asked
        assert {*by_name[name].dropped} <= {
            "malformed reply",
            "cut off at `max_tokens`",
            "empty reply",
        }
    rows = read_rows(tmp_path / "out" / ROWS, Row)
    assert len(rows) == by_name["answer"].made
    assert rows[0].provenance.made_by[0].model.startswith("base-")
    dropped = read_rows(tmp_path / "out" / DROPPED, DroppedRow)
    assert len(dropped) == report.dropped > 0
    before = (tmp_path / "out" / ROWS).read_bytes()
    assert generate_data(spec, tmp_path / "out") == report
    assert (tmp_path / "out" / ROWS).read_bytes() == before
