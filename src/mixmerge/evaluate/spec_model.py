"""What all specifications of an evaluation share."""

from pydantic import BaseModel, ConfigDict


class SpecModel(BaseModel):
    """A specification is immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
