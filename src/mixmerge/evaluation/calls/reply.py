"""The reply to one call, read strictly: an answer, or an error that says what to do about it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mixmerge.chat.thoughts import part
from mixmerge.evaluation.calls.refusal import FILTERED, Refusal, refusal

_OVERLOAD = frozenset({429, 503, 529})
_TEMPORARY = frozenset({408, 409, 425, 429})
"""And all from 500 on: those in front of a server add their own, such as Cloudflare's 52x."""
_MOST_SHOWN = 200
"""Characters of a strange reply that a message shows."""
_FINISHED = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "recitation"), FILTERED),
    **dict.fromkeys(("prohibited_content", "blocklist", "spii", "refusal"), FILTERED),
    **dict.fromkeys(("sensitive", "error_toxic", "guardrail_intervened"), FILTERED),
}
"""How an answer ended, by the words of providers and of the proxies that pass theirs on.

What is not here (``error``, ``abort``, ``tool_calls``, nothing) is no end of an answer.
"""
_MOST_TOKENS = 10**12
"""Above it, a count is none: sums and prices must stay numbers."""
_NOT_PLAIN = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can spell and no file can hold."""


@dataclass(frozen=True)
class Reply:
    """The outcome of one call."""

    text: str
    refused: bool = False
    """The model or its provider would not answer."""
    error: str | None = None
    """Why there is no answer, after the last try."""
    finish_reason: str | None = None
    """``stop`` or ``length``; ``filtered`` where a filter withheld the answer and `text` is what
    it says."""
    input_tokens: int | None = None
    """Tokens of the request; None where the endpoint does not count."""
    output_tokens: int | None = None
    """Tokens of the answer, its thoughts included; None where the endpoint does not count."""
    thoughts: str = ""
    """What a reasoning model thought before it answered, where the endpoint shows it."""


class CallError(Exception):
    """One try failed."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        again: bool = True,
        wait: float | None = None,
        overload: bool = False,
        maybe_charged: bool = False,
        unread: bool = False,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.again = again
        """Whether another try may help."""
        self.wait = wait
        """Seconds that the endpoint asked to wait."""
        self.overload = overload or status in _OVERLOAD
        """Whether fewer calls at once would help."""
        self.maybe_charged = maybe_charged
        """Whether the endpoint may have done the work all the same."""
        self.unread = unread
        """Whether a whole reply came that holds no answer."""
        self.doubtful = False
        """Whether the optional fields of the call may be all that is wrong."""


class NotACompletionError(CallError):
    """What came is no reply of a chat endpoint at all: the address may be another server's."""


class RefusedCallError(CallError):
    """The endpoint understood the call and will not take it."""

    def __init__(self, status: int, why: Refusal) -> None:
        super().__init__(f"status {status}: {shown(why.words)}", status=status, again=False)
        self.why = why


def read_reply(
    status: int, headers: Mapping[str, str], text: str, sent: Mapping[str, Any] | None = None
) -> Reply:
    """Read a response to a chat completion.

    Args:
        status: of HTTP.
        headers: of the response.
        text: its body.
        sent: the body of the request, whose fields the endpoint may complain about.

    Raises:
        RefusedCallError: the endpoint will not take this call.
        CallError: there is no answer in it, for a reason that may pass.
    """
    if status != 200:
        return _failure(status, headers, text, _parsed(text), sent or {})
    body = _parsed(text)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        content, refused = message.get("content"), message.get("refusal")
    except (LookupError, TypeError, AttributeError) as error:
        if isinstance(body, dict) and body.get("error"):
            return _inner_failure(body, text, sent or {})
        unread = f"not a chat completion: {shown(text)}"
        raise NotACompletionError(unread, maybe_charged=True, unread=True) from error
    if choice.get("error"):
        return _inner_failure(choice, text, sent or {})
    ended = _end(choice.get("finish_reason"))
    answer, thoughts = _texts(content)
    if refused or ended == FILTERED:
        said = refused if isinstance(refused, str) else ""
        return _reply(body, said, refused=True, finish_reason=ended or "stop")
    if ended is None:
        said = shown(str(choice.get("finish_reason")))
        reason = f"not finished (finish_reason: {said}): {shown(text)}"
        raise CallError(reason, maybe_charged=True, unread=True)
    # One that was cut off without text spent its limit on thoughts: no other try helps there.
    if answer is None and ended == "stop":
        reason = f"a completion without text: {shown(text)}"
        raise CallError(reason, maybe_charged=True, unread=True)
    beside = message.get("reasoning_content") or message.get("reasoning") or ""
    parted = part(answer or "")
    whole = [each for each in (beside, thoughts, parted.thoughts) if isinstance(each, str) and each]
    answer = parted.answer if parted.closed else ""
    return _reply(body, answer, finish_reason=ended, thoughts="\n".join(whole))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _failure(
    status: int, headers: Mapping[str, str], text: str, body: Any, sent: Mapping[str, Any]
) -> Reply:
    """Return a filter's refusal as a reply; raise what else a status means."""
    why = refusal(status, text, body, sent)
    passes = status in _TEMPORARY or status >= 500
    if why.kind == "filtered" and not passes:
        return Reply(shown(why.words), refused=True, finish_reason=FILTERED)
    if passes and why.kind != "no money":
        wait = _asked_wait(headers.get("Retry-After"))
        raise CallError(f"status {status}: {shown(why.words)}", status=status, wait=wait)
    raise RefusedCallError(status, why)


def _inner_failure(body: Mapping[str, Any], text: str, sent: Mapping[str, Any]) -> Reply:
    """Read an error inside a good status, which a proxy sends when its provider fails."""
    error = body["error"]
    code = str(error.get("code")) if isinstance(error, dict) else ""
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code, re.ASCII) else 502
    try:
        return _failure(status, {}, text, body, sent)
    except CallError as failed:
        failed.maybe_charged = True
        raise


def _end(reason: Any) -> str | None:
    """Return how an answer ended: ``stop``, ``length``, filtered, or None: not at all."""
    if isinstance(reason, dict):  # as SGLang writes it in its own words
        reason = reason.get("type")
    # Google's reads "content_filter: SAFETY".
    return _FINISHED.get(reason.lower().partition(":")[0]) if isinstance(reason, str) else None


def _texts(content: Any) -> tuple[str | None, str]:
    """Return the answer of a message, or None where it has none, and its thoughts."""
    if isinstance(content, str):
        return content, ""
    parts = content if isinstance(content, list) else []
    answer, thoughts = [], []
    for each in parts:
        if isinstance(each, str):
            answer.append(each)
        elif isinstance(each, dict) and isinstance(each.get("text"), str):
            answer.append(each["text"])
        elif isinstance(each, dict) and isinstance(each.get("thinking"), (str, list)):
            thoughts.append(_texts(each["thinking"])[0] or "")
    return "".join(answer) if answer else None, "\n".join(thoughts)


def _reply(body: Mapping[str, Any], text: str, thoughts: str = "", **more: Any) -> Reply:
    usage = body.get("usage")
    return Reply(
        plain(text),
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        thoughts=plain(thoughts),
        **more,
    )


def plain(text: str) -> str:
    """Return a text that a file can hold: half of a character becomes the replacement character."""
    return _NOT_PLAIN.sub("\ufffd", text)


def shown(text: str) -> str:
    """Return the beginning of a text for a message: on one line, without control characters."""
    line = " ".join(text[: 10 * _MOST_SHOWN].split())
    line = "".join(each if each.isprintable() else "\ufffd" for each in line)
    return line if len(line) <= _MOST_SHOWN else line[: _MOST_SHOWN - 3] + "..."


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else None


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
        if date.tzinfo is None:  # "-0000" says nothing about the zone; HTTP dates are in UTC
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # years and zones without end
        return None
