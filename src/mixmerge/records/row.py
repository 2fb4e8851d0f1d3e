"""What all rows share: they are immutable, and an unknown field is an error."""

from pydantic import BaseModel, ConfigDict


class RowModel(BaseModel):
    """A row that reads back exactly what it wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
