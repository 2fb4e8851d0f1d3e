"""The JSON Schema of study files, for editors."""

import json
from pathlib import Path

from mixmerge.study.spec import Study

SCHEMA = Path(__file__).parents[2] / "docs" / "study.schema.json"


def test_the_schema_is_up_to_date() -> None:
    """The file in the repository is the schema of the study file as it is read (make schema)."""
    assert json.loads(SCHEMA.read_text()) == Study.model_json_schema()


def test_every_field_says_what_it_is() -> None:
    """An editor that reads the schema has a sentence for every key of a study file."""
    schema = Study.model_json_schema()
    models = {**schema["$defs"], "Study": schema}
    silent = [
        f"{name}.{field}"
        for name, model in models.items()
        for field, about in model.get("properties", {}).items()
        if "description" not in about
    ]
    assert silent == []
