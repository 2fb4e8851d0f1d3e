"""The sources of training rows that a study names: the testbed's, generated ones, or any data."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag

from mixmerge.errors import SpecError
from mixmerge.mixing.spec import SourceSpec
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec_file import read_spec
from mixmerge.synthesis.spec import GenerateDataSpec


class TestbedSource(SpecModel):
    """Training rows of the testbed."""

    __test__ = False  # not a test, whatever pytest makes of the name

    testbed: str
    """Which rows, e.g. ``general`` for answers to questions or ``safety`` for refusals."""


def _read(value: Any) -> Any:
    if not isinstance(value, (str, Path)):
        return value
    try:
        return read_spec(Path(value), GenerateDataSpec)
    except SpecError as error:  # pydantic adds the place in the study file
        raise ValueError(str(error)) from error


class GeneratedSource(SpecModel):
    """Training rows that models make from seeds."""

    generate: Annotated[
        GenerateDataSpec, BeforeValidator(_read, json_schema_input_type=GenerateDataSpec | str)
    ]
    """What ``mixmerge generate-data`` reads: its file, or the same keys here. Rows that overlap a
    prompt of the study's evaluation are left out, without a filter of their own."""


def _kind_of_source(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((kind for kind in ("testbed", "generate") if kind in names), "source")


DataSource = Annotated[
    Annotated[TestbedSource, Tag("testbed")]
    | Annotated[GeneratedSource, Tag("generate")]
    | Annotated[SourceSpec, Tag("source")],
    Discriminator(_kind_of_source),
]
"""``{testbed: general}``, ``{generate: FILE}``, or files or a Hugging Face data set with its
columns."""


def step_of(name: str, source: DataSource) -> str | None:
    """Return the id of the step that writes the rows of a source; None for data that exist."""
    if isinstance(source, TestbedSource):
        return f"data/{name}"
    return f"generate-data/{name}" if isinstance(source, GeneratedSource) else None
