"""What an endpoint says to one call, read strictly."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OVERLOAD = frozenset({429, 503, 529})
_MOST_SHOWN = 200
"""Characters of a strange reply that a message shows."""


@dataclass(frozen=True)
class Reply:
    """The outcome of one call."""

    text: str
    refused: bool = False
    """The model or its provider would not answer."""
    error: str | None = None
    """Why there is no answer, after the last try."""
    finish_reason: str | None = None
    """``stop``, ``length``, ..., as the endpoint says it."""
    input_tokens: int | None = None
    """Tokens of the request; None where the endpoint does not count."""
    output_tokens: int | None = None
    """Tokens of the answer; None where the endpoint does not count."""


class CallError(Exception):
    """One try failed."""

    def __init__(
        self,
        reason: str,
        *,
        again: bool = True,
        wait: float | None = None,
        overload: bool = False,
        maybe_charged: bool = False,
    ) -> None:
        """Say what failed.

        Args:
            reason: for a person.
            again: whether another try may help.
            wait: seconds that the endpoint asked to wait.
            overload: whether fewer calls at once would help.
            maybe_charged: whether the endpoint may have done the work all the same.
        """
        super().__init__(reason)
        self.again = again
        self.wait = wait
        self.overload = overload
        self.maybe_charged = maybe_charged


class RefusedCallError(CallError):
    """The endpoint understood the call and will not take it: status 4xx."""

    def __init__(self, status: int, text: str) -> None:
        """Keep the status: some mean that no call can succeed."""
        super().__init__(f"status {status}: {shown(text)}", again=False)
        self.status = status
        self.text = text


def read_reply(status: int, headers: Mapping[str, str], content: bytes) -> Reply:
    """Read a response to a chat completion.

    Raises:
        RefusedCallError: the endpoint will not take this call.
        CallError: there is no answer in it, for a reason that may pass.
    """
    text = content.decode("utf-8", errors="replace")
    if status in _TEMPORARY:
        raise CallError(
            f"status {status}: {shown(text)}",
            wait=_asked_wait(headers.get("Retry-After")),
            overload=status in _OVERLOAD,
        )
    if status != 200:
        raise RefusedCallError(status, text)
    try:
        completion = json.loads(text)
        choice = completion["choices"][0]
        message = choice["message"]
        answer, refusal = message.get("content"), message.get("refusal")
        finish_reason = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CallError(f"not a chat completion: {shown(text)}", maybe_charged=True) from error
    refused = bool(refusal) or finish_reason == "content_filter"
    if refused:
        answer = refusal or ""
    if answer is None and finish_reason == "length":
        answer = ""  # a reasoning model that used up its limit: so would another try
    if not isinstance(answer, str):
        raise CallError(f"a completion without text: {shown(text)}", maybe_charged=True)
    usage = completion.get("usage")
    return Reply(
        answer,
        refused,
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
    )


def shown(text: str) -> str:
    """Return the beginning of a text for a message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else line[: _MOST_SHOWN - 3] + "..."


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else None


def _asked_wait(value: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000" says nothing about the zone; HTTP dates are in UTC
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
