"""Options of a chat template in specifications. Importing this does not load Jinja."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, JsonValue

CLOCK = "strftime_now"
"""The function with which templates get the date; as an option, the date that it returns."""
USUAL_DATE = "2025-01-01"
_OURS = ("messages", "add_generation_prompt", "tools", "documents")


def _check(options: dict[str, Any]) -> dict[str, Any]:
    taken = [name for name in options if name in _OURS or not name.isidentifier()]
    if taken:
        raise ValueError(f"`{taken[0]}` is not an option of a chat template")
    date_of(options)
    return options


def date_of(options: dict[str, Any]) -> datetime:
    """Return the date for templates that ask for today's.

    It is never today's, so that prompts do not change from day to day.

    Raises:
        ValueError: the option is not a date.
    """
    date = options.get(CLOCK, USUAL_DATE)
    try:
        return datetime.fromisoformat(date)
    except (TypeError, ValueError):
        raise ValueError(
            f"`{CLOCK}` must be a date such as '{USUAL_DATE}' (seen: {date!r})"
        ) from None


ChatOptions = Annotated[dict[str, JsonValue], AfterValidator(_check)]
"""Variables of the chat template by name, e.g. ``{enable_thinking: false}``. ``strftime_now`` is
the date for templates that ask for it."""
