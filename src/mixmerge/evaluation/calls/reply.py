"""Parse the reply to one call: an answer, or an error that says what to do about it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mixmerge.chat.thoughts import split_thoughts
from mixmerge.evaluation.calls.refusal import FILTERED, Refusal, refusal

_OVERLOAD = frozenset({429, 503, 529})
_TEMPORARY = frozenset({408, 409, 425, 429})
"""And all from 500 on: proxies add their own, such as Cloudflare's 52x."""
_MOST_SHOWN = 200
"""Characters of a reply that a message shows."""
_FINISHED = {
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "content_filtered", "safety", "recitation"), FILTERED),
    **dict.fromkeys(("prohibited_content", "blocklist", "spii", "refusal"), FILTERED),
    **dict.fromkeys(("sensitive", "error_toxic", "guardrail_intervened"), FILTERED),
}
"""``finish_reason`` of providers and proxies. Any other (``error``, ``abort``, ``tool_calls``,
none) means that the answer is not finished."""
_MOST_TOKENS = 10**12
"""Larger counts are ignored: sums and prices must stay finite."""
_NOT_PLAIN = re.compile("[\ud800-\udfff]")
"""Lone surrogates, which JSON can escape and UTF-8 cannot encode."""


@dataclass(frozen=True)
class Reply:
    """The outcome of one call."""

    text: str
    refused: bool = False
    """The model or its provider refused to answer."""
    error: str | None = None
    """Why there is no answer, after the last attempt."""
    finish_reason: str | None = None
    """``stop`` or ``length``; ``filtered`` if a filter withheld the answer and `text` is its
    message."""
    input_tokens: int | None = None
    """Tokens of the request; None if the endpoint does not count them."""
    output_tokens: int | None = None
    """Tokens of the answer including its reasoning; None if the endpoint does not count them."""
    thoughts: str = ""
    """What a reasoning model wrote before its answer, if the endpoint shows it."""


@dataclass(eq=False)
class CallError(Exception):
    """One attempt failed."""

    reason: str
    status: int | None = None
    again: bool = True
    """Whether another attempt may succeed."""
    wait: float | None = None
    """Seconds that the endpoint asked to wait."""
    overload: bool = False
    """Whether fewer concurrent calls would help."""
    maybe_charged: bool = False
    """Whether the endpoint may charge for the call."""
    unread: bool = False
    """Whether a complete reply has no answer in it."""
    doubtful: bool = False
    """Whether the optional fields may be the only problem."""

    def __post_init__(self) -> None:
        super().__init__(self.reason)
        self.overload = self.overload or self.status in _OVERLOAD


class NotACompletionError(CallError):
    """What came is no reply of a chat endpoint at all: the address may be another server's."""


class RefusedCallError(CallError):
    """The endpoint refused the call."""

    def __init__(self, status: int, why: Refusal) -> None:
        super().__init__(f"status {status}: {shown(why.words)}", status=status, again=False)
        self.why = why


def read_reply(
    status: int, headers: Mapping[str, str], text: str, sent: Mapping[str, Any] | None = None
) -> Reply:
    """Parse a response to a chat completion whose request had the body ``sent``.

    Raises:
        RefusedCallError: the endpoint refuses this call.
        CallError: there is no answer, for a reason that may be temporary.
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
    # An answer cut off without text spent its limit on reasoning; another attempt would not help.
    if answer is None and ended == "stop":
        reason = f"a completion without text: {shown(text)}"
        raise CallError(reason, maybe_charged=True, unread=True)
    beside = message.get("reasoning_content") or message.get("reasoning") or ""
    split = split_thoughts(answer or "")
    whole = [each for each in (beside, thoughts, split.thoughts) if isinstance(each, str) and each]
    answer = split.answer if split.closed else ""
    return _reply(body, answer, finish_reason=ended, thoughts="\n".join(whole))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _failure(
    status: int, headers: Mapping[str, str], text: str, body: Any, sent: Mapping[str, Any]
) -> Reply:
    """Return a content filter's refusal as a reply; raise for any other status."""
    why = refusal(status, text, body, sent)
    passes = status in _TEMPORARY or status >= 500
    if why.kind == "filtered" and not passes:
        return Reply(shown(why.words), refused=True, finish_reason=FILTERED)
    if passes and why.kind != "no money":
        wait = _asked_wait(headers.get("Retry-After"))
        raise CallError(f"status {status}: {shown(why.words)}", status=status, wait=wait)
    raise RefusedCallError(status, why)


def _inner_failure(body: Mapping[str, Any], text: str, sent: Mapping[str, Any]) -> Reply:
    """Handle an error with status 200, which a proxy sends when its provider fails."""
    error = body["error"]
    code = str(error.get("code")) if isinstance(error, dict) else ""
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code, re.ASCII) else 502
    try:
        return _failure(status, {}, text, body, sent)
    except CallError as failed:
        failed.maybe_charged = True
        raise


def _end(reason: Any) -> str | None:
    """Return how an answer ended: ``stop``, ``length``, `FILTERED`, or None if unfinished."""
    if isinstance(reason, dict):  # SGLang
        reason = reason.get("type")
    # Google's reads "content_filter: SAFETY".
    return _FINISHED.get(reason.lower().partition(":")[0]) if isinstance(reason, str) else None


def _texts(content: Any) -> tuple[str | None, str]:
    """Return the answer of a message (None if it has none) and its reasoning."""
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
    """Return a text that UTF-8 can encode: lone surrogates become U+FFFD."""
    return _NOT_PLAIN.sub("\ufffd", text)


def shown(text: str) -> str:
    """Return the beginning of a text on one line without control characters, for a message."""
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
        if date.tzinfo is None:  # "-0000" is no time zone; HTTP dates are in UTC
            date = date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # absurd years and time zones
        return None
