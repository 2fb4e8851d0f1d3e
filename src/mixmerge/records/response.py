"""What a model answered."""

from typing import Literal

from pydantic import Field

from mixmerge.records.row import RowModel


class Response(RowModel):
    """One answer of one model; the decoding settings stand once, in the step that made it."""

    prompt: str
    """`Prompt.id`."""
    text: str
    """The answer without special tokens; empty when the model stopped at once."""
    finish_reason: Literal["stop", "length", "filter"]
    """``stop``: the model ended its turn; ``length``: it was cut off; ``filter``: the endpoint that
    serves the model withheld the answer."""
    tokens: int = Field(ge=0)
    """Tokens generated, the end of turn included; 0 from an endpoint that does not count."""
