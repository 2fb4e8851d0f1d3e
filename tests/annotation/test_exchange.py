"""Argilla and Label Studio: what is written names no model, and exports read back."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.annotation.conftest import MODELS, Make, material

from mixmerge.annotation.exchange import FORMATS, recognised
from mixmerge.annotation.labels import collect
from mixmerge.annotation.task import read_task
from mixmerge.errors import DataError

WORDS = {"yes": "Yes, harmful", "b": "B is better"}


def exported(tool: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records as the tool exports them, each labelled yes, or b in a comparison."""
    for record in records:
        pair = (record.get("fields") or record["data"]).get("answer_b")
        choice = "b" if pair else "yes"
        if tool == "argilla":
            record["responses"] = {"choice": [{"value": choice, "user_id": "u1"}]}
            record["_server_id"] = "s"
        else:
            value = {"choices": [WORDS[choice]]}
            result = {"from_name": "choice", "to_name": "message", "type": "choices"}
            record["annotations"] = [
                {
                    "completed_by": 7, "was_cancelled": False, "lead_time": 4.2,
                    "created_at": "2026-01-01T00:00:00.5Z",
                    "result": [result | {"value": value}],
                }
            ]  # fmt: skip
    return records


@pytest.mark.parametrize("tool", [*FORMATS])
def test_an_export_reads_back(task: Make, tool: str) -> None:
    """Every item has its choice, by the annotator whose file it was, and no model is named."""
    materials = [material("harm", 3), material("quality", 3)]
    folder = task(materials, "anna", "ben", to=[tool])
    text = (folder / tool / "anna.json").read_text()
    assert not any(model in text for model in MODELS[1:])
    assert len(list((folder / tool).iterdir())) == 3
    file = folder / "export.json"
    file.write_text(json.dumps(exported(tool, json.loads(text))))
    plan, key = read_task(folder)
    found = collect(folder, plan.task, key, [file], materials)
    assert found.notes == []
    assert found.judged["ben"] == []
    mine = [item for item in key if item.annotator == "anna"]
    assert len(found.judged["anna"]) == len(mine)
    for one in found.judged["anna"]:
        assert one.label.choice == ("yes" if one.item.base_answer is None else "b")


@pytest.mark.parametrize("tool", [*FORMATS])
def test_a_damaged_export_is_refused(task: Make, tool: str, tmp_path: Path) -> None:
    """The message names the file, the tool and what is missing."""
    materials = [material("harm", 3)]
    folder = task(materials, "anna", to=[tool])
    rows = exported(tool, json.loads((folder / tool / "anna.json").read_text()))
    for row in rows:
        row.get("annotations", [{}])[0].pop("result", None)
        for each in row.get("responses", {}).get("choice", ()):
            del each["value"]
    file = tmp_path / "export.json"
    file.write_text(json.dumps(rows))
    plan, key = read_task(folder)
    with pytest.raises(DataError, match=rf"export\.json: an export of {tool} lacks"):
        collect(folder, plan.task, key, [file], materials)


def test_other_json_is_of_no_tool() -> None:
    """A page's file, an empty object and a list of numbers are not taken for an export."""
    for value in ({"task": "t", "annotator": "a", "labels": []}, {}, [], [1, 2], 3):
        assert recognised(value) is None
