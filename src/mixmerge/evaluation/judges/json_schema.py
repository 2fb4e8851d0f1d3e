"""Whether an answer is JSON that is valid under a JSON Schema."""

import json
from pathlib import Path
from typing import Any, NoReturn

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.judges.judge import (
    Decision,
    JudgeContext,
    ProgramJudge,
    ProgramJudgeSpec,
    said,
)
from mixmerge.evaluation.judges.parts import fenced
from mixmerge.files import read_json


class JsonSchemaSpec(ProgramJudgeSpec):
    """An answer, or its first fenced block, must be JSON that is valid under a schema."""

    key = "json_schema"
    outcomes = frozenset({"valid"})

    json_schema: Path
    """A file with a JSON Schema of any draft."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that reads schemas."""
        return ("jsonschema",)

    def identity(self) -> dict[str, Any]:
        """Return the settings that change verdicts, with "file" for the schema."""
        return {"json_schema": "file"}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {"schema": self.json_schema}

    def build(self, context: JudgeContext) -> ProgramJudge:
        """Read the schema.

        Raises:
            SpecError: the file is not a JSON Schema.
            ResourceError: the package ``jsonschema`` is not installed.
        """
        validator = _validator(context.folder / self.json_schema)
        return ProgramJudge(
            self, lambda item, _: _fits(item.answer.text, validator), folder=context.folder
        )


def _validator(path: Path) -> Any:
    try:
        from jsonschema import exceptions, validators
        from referencing import Registry
    except ImportError:
        raise ResourceError(
            "A judge `json_schema` needs the package jsonschema: pip install 'mixmerge[judges]'."
        ) from None
    schema = read_json(path)
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise SpecError(f"{path}: not a JSON Schema: {error.json_path}: {error.message}.") from None
    # With an empty registry a `$ref` to a URL is an error and not a download.
    return kind(schema, registry=Registry())


def _fits(text: str, validator: Any) -> Decision:
    from jsonschema import exceptions
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(fenced(text), parse_constant=_no_constant)
        error = exceptions.best_match(validator.iter_errors(value))
    except (ValueError, RecursionError) as problem:
        return said(False, f"not JSON: {problem}")
    except Unresolvable as problem:
        raise SpecError(
            f"json_schema: {problem.ref!r} is not in the schema: put it under `$defs`."
        ) from None
    return said(error is None, "" if error is None else f"{error.json_path}: {error.message}"[:500])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


SPEC = JsonSchemaSpec
