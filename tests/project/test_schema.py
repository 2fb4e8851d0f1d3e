"""The JSON Schema of study files, for editors."""

import json
from pathlib import Path

from mixmerge.study.spec import Study

SCHEMA = Path(__file__).parents[2] / "docs" / "study.schema.json"


def test_the_schema_is_up_to_date() -> None:
    """The file in the repository is the schema of the study file as it is read (make schema)."""
    assert json.loads(SCHEMA.read_text()) == Study.model_json_schema()
