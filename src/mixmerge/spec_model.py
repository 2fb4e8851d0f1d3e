"""What all specifications share, from a study file down to one rule of a merge."""

from pydantic import BaseModel, ConfigDict


class SpecModel(BaseModel):
    """A specification is immutable, and an unknown key is an error.

    The text under a field describes it in the JSON Schema, which editors show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
