"""Classify a provider's error, by its code and parameter first and by its message otherwise.

None of this is standardised. The patterns cover OpenAI, Azure, Anthropic, Google, Mistral, Cohere,
DeepSeek, Alibaba, xAI, OpenRouter, LiteLLM, vLLM, SGLang, llama.cpp and others.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["filtered", "too long", "field", "setting", "no money", "unknown"]
FILTERED = "filtered"

_LONGEST_TEXT = 4000
"""Characters of an error that are read; the rest never says what is wrong."""
_BY_CODE: Mapping[str, Kind] = {
    **dict.fromkeys(
        (
            "content_filter",
            "content_policy_violation",
            "contentpolicyviolationerror",
            "responsibleaipolicyviolation",
            "data_inspection_failed",
            "datainspectionfailed",
            "invalid_prompt",
            "moderation_blocked",
            "1301",
        ),
        "filtered",
    ),
    **dict.fromkeys(
        (
            "context_length_exceeded",
            "contextwindowexceedederror",
            "exceed_context_size_error",
            "request_too_large",
            "string_above_max_length",
            "tokens_limit_reached",
        ),
        "too long",
    ),
    **dict.fromkeys(("insufficient_quota", "insufficient_balance"), "no money"),
}
_CODES = frozenset({"code", "type", "reason", "status"})
_WORDS = frozenset({"message", "msg", "error", "detail", "title", "raw"})
"""Where providers put their message; other texts may be the caller's own, echoed."""
_TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size|limit)|maximum context|reduce the length|too many tokens"
    r"|too (long|large)|(prompt|input|text|request|messages?|sequence)\b.{0,60}(longer than|exceed)"
    r"|(exceed|longer than|more than|larger than|must be <=).{0,60}(tokens|length|size)"
    r"|max_new_tokens.{0,10} must be <=|maximum (number of |input )?tokens",
    re.IGNORECASE | re.DOTALL,
)
_NO_ROOM = re.compile(
    r"context.{0,10}(length|window|size|limit).*(request|prompt|input|message|your)"
    r"|(request|prompt|input|message|your).*context.{0,10}(length|window|size|limit)",
    re.IGNORECASE | re.DOTALL,
)
"""The prompt leaves no room for `max_tokens`. vLLM and Anthropic name the field, but the prompt is
the problem."""
_FILTER = re.compile(
    r"content.{0,20}(filter|policy|moderation|guideline)|flagged|moderat(ed|ion)"
    r"|violat.{0,60}(polic|guideline|terms)|usage (polic|guideline)|safety (system|polic|filter)"
    r"|inappropriate|sensitive (content|information|words)|high risk|敏感",
    re.IGNORECASE | re.DOTALL,
)
_MONEY = re.compile(
    r"insufficient_quota|insufficient (balance|credit)|credit balance is too low", re.IGNORECASE
)
"""Not every "quota": some endpoints use the word for limits per minute, which are temporary."""
_KEY = re.compile(
    r"(incorrect|invalid|expired|missing).{0,10}api.?key"
    r"|api.?key.{0,30}(not valid|invalid|expired)",
    re.IGNORECASE,
)
_MODEL = re.compile(
    r"(unknown|invalid|no such) model\b|not a valid model"
    r"|\bmodel\b.{0,100}\b(not found|not exist|unknown|not available)"
    r"|\bmodel\W+\S+ is not supported"
    r"|deployment.{0,60}(not exist|not found)",
    re.IGNORECASE | re.DOTALL,
)
_WRONG_SETTINGS = {
    401: "the key is not accepted",
    403: "the key may not use this model",
    404: "there is no such address or model",
    405: "this is not the address of chat completions",
    **dict.fromkeys((301, 302, 303, 307, 308), "this address has moved"),
}
_OTHER_LIMIT = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_NEVER_REFUSED = frozenset({"messages", "model"})
"""Fields that every chat endpoint accepts: an error about one is about its value."""


@dataclass(frozen=True)
class Refusal:
    """Why an endpoint refuses a call."""

    kind: Kind
    """``filtered``: its content. ``too long``: its length. ``field``: a field that was sent.
    ``setting``: key, model or address, so every other call would be refused as well."""
    words: str
    """The provider's message."""
    field: str | None = None
    problem: str = ""
    """What is wrong, and for a field how to fix it."""


def refusal(status: int, text: str, body: Any, sent: Mapping[str, Any]) -> Refusal:
    """Return why an endpoint refuses a call.

    ``body`` is the reply's ``text`` parsed as JSON (None if it is not JSON), ``sent`` the request's
    body.
    """
    found = list(_strings(body))
    codes = [value.lower() for key, value in found if key in _CODES]
    words = " ".join(value for key, value in found if key in _WORDS) or text
    words = words[:_LONGEST_TEXT]
    kind = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    if kind is None:
        kind = _by_status(status, words)
    named = [value for key, value in found if key in ("param", "loc")]
    if kind is None and (field := _field(named, words, sent)):
        return Refusal("field", words, field, _cure(field, sent))
    if kind is None:
        kind = _by_words(words)
    if kind == "setting" or (kind is None and (_KEY.search(words) or _MODEL.search(words))):
        by_words = "the key is not accepted" if _KEY.search(words) else "there is no such model"
        return Refusal("setting", words, problem=_WRONG_SETTINGS.get(status, by_words))
    return Refusal(kind or "unknown", words)


def _by_status(status: int, words: str) -> Kind | None:
    if status == 402 or _MONEY.search(words):
        return "no money"
    if status == 403:  # a flagged account is refused whatever it sends
        of_content = _FILTER.search(words) and not re.search(r"\baccount\b", words, re.IGNORECASE)
        return "filtered" if of_content else "setting"
    if status == 413:
        return "too long"
    return "setting" if status in _WRONG_SETTINGS else None


def _by_words(words: str) -> Kind | None:
    if _TOO_LONG.search(words):
        return "too long"
    return "filtered" if _FILTER.search(words) else None


def _field(named: list[str], words: str, sent: Mapping[str, Any]) -> str | None:
    """Return the field of the request that an error is about, if any."""
    if _NO_ROOM.search(words):
        return None
    fields = sent.keys() - _NEVER_REFUSED
    steps = [step for name in named for step in re.split(r"[.\[\]]+", name)]
    if "messages" in steps:
        return None
    found = [name for name in steps if name in fields]
    return next(iter(found), None) or next(filter(_named_in(words), sorted(fields)), None)


def _named_in(words: str) -> Callable[[str], bool]:
    """Return a test whether a message names a field; `stop` and `user` must be quoted there."""

    def named(field: str) -> bool:
        plain = "_" in field or field in ("temperature", "seed", "logprobs")
        mark = r"" if plain else "['\"`]"
        return bool(re.search(rf"(?<!\w){mark}{re.escape(field)}{mark}(?!\w)", words))

    return named


def _cure(field: str, sent: Mapping[str, Any]) -> str:
    other = _OTHER_LIMIT.get(field)
    cure = f"{field}: null" + (f", {other}: {sent[field]}" if other else "")
    return f"it refuses the field `{field}` as it was sent: set `fields: {{{cure}}}`"


def _strings(error: Any) -> Iterator[tuple[str, str]]:
    """Yield the strings and integers of an error with their keys; a ``loc`` is joined."""
    left: list[tuple[str, Any]] = [("", error)]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += reversed([(str(name).lower(), inner) for name, inner in value.items()])
        elif isinstance(value, list) and key == "loc":
            yield key, ".".join(str(step) for step in value if step != "body")
        elif isinstance(value, list):
            left += reversed([(key, inner) for inner in value])
        elif isinstance(value, (str, int)) and not isinstance(value, bool):
            yield key, str(value)
