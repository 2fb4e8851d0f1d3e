"""Answers are JSON that fits a schema, or are told why not."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.judges.cases import items, outcomes, question

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.judges.json_schema import JsonSchemaSpec
from mixmerge.evaluation.judges.judge import JudgeContext, ProgramJudge

VALID = question("outcome", "valid")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def judge(folder: Path, schema: Any = PERSON) -> ProgramJudge:
    (folder / "schema.json").write_text(json.dumps(schema))
    spec = JsonSchemaSpec(json_schema=Path("schema.json"))
    return spec.build(JudgeContext(folder / "calls.jsonl", folder=folder))


@pytest.mark.parametrize(
    ("said", "outcome", "reason"),
    [
        ('{"name": "Ada", "age": 36}', "yes", ""),
        ('Here you are:\n```json\n{"name": "Ada"}\n```\nBye.', "yes", ""),
        ('~~~\n{"name": "अदा"}\n~~~', "yes", ""),
        ('{"age": 3}', "no", "$: 'name' is a required property"),
        ('{"name": "Ada", "age": -1}', "no", "$.age: -1 is less than the minimum of 0"),
        ('Sure: {"name": "Ada"}', "no", "not JSON"),
        ('{"name": "Ada", "age": NaN}', "no", "NaN is not JSON"),
        ("[" * 100_000, "no", "not JSON"),
        ("", "no", "not JSON"),
    ],
)
def test_an_answer_fits_or_not(tmp_path: Path, said: str, outcome: str, reason: str) -> None:
    """The whole answer, or its first fenced block, is read strictly and checked."""
    (verdict,) = judge(tmp_path).judge(items(said), VALID)
    assert (verdict.outcome, reason in verdict.reason) == (outcome, True)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """A reference that leaves the schema is one message and no call over the network."""
    by = judge(tmp_path, {"$ref": "http://localhost:9/other.json"})
    with pytest.raises(SpecError, match=r"other\.json' is not in the schema: put it under"):
        by.judge(items("{}"), VALID)


def test_what_is_no_schema_is_refused(tmp_path: Path) -> None:
    """Before any answer is read."""
    with pytest.raises(SpecError, match=r"schema\.json: not a JSON Schema: \$\.type: 'objekt'"):
        judge(tmp_path, {"type": "objekt"})
    spec = JsonSchemaSpec(json_schema=tmp_path / "none.json")
    with pytest.raises(SpecError, match=r"none\.json: no such file"):
        spec.build(JudgeContext(tmp_path / "calls.jsonl"))


def test_the_schema_counts_by_content(tmp_path: Path) -> None:
    """Another schema is another judge, wherever it lies."""
    first = judge(tmp_path)
    name = first.name
    spec = JsonSchemaSpec(json_schema=tmp_path / "schema.json")
    assert spec.paths() == {"schema": tmp_path / "schema.json"}
    assert str(tmp_path) not in str(spec.identity())
    assert judge(tmp_path, {"type": "array"}).name != name
    assert outcomes(judge(tmp_path, {"type": "array"}).judge(items("[]"), VALID)) == ["yes"]


def test_a_missing_package_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validator is an extra of the package."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ResourceError, match=r"pip install 'mixmerge\[judges\]'"):
        judge(tmp_path)
