"""One try of one call over HTTP, and its reply, read strictly.

An error that no call can survive, a wrong key for example, stops everything.
"""

import json
import os
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.endpoint_spec import EndpointSpec

_TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_OVERLOAD = frozenset({429, 503, 529})
_MOST_SHOWN = 200
"""Characters of a strange reply that a message shows."""
_HIDDEN = b"[the key]"
_SETTINGS_ARE_WRONG = {
    401: "the key is not accepted",
    403: "the key may not use this model",
    404: "there is no such address or model",
    405: "this is not the address of chat completions",
    **dict.fromkeys((301, 302, 303, 307, 308), "this address has moved"),
}
_ASKS_FOR_MONEY = re.compile(rb"insufficient_quota|credit balance is too low", re.IGNORECASE)
"""Not every quota: some endpoints call their limits a minute so, and those pass."""
_UNKNOWN_MODEL = re.compile(
    r"model\W.{0,100}(not found|not exist|unknown|invalid|not supported)|"
    r"(unknown|invalid|no such) model",
    re.IGNORECASE | re.DOTALL,
)
_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_SECONDS_TO_CONNECT = 15.0
_FUTILE = 5
"""Refused calls in a row, before any success, after which the rest is not sent."""


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
        super().__init__(reason)
        self.again = again
        """Whether another try may help."""
        self.wait = wait
        """Seconds that the endpoint asked to wait."""
        self.overload = overload
        """Whether fewer calls at once would help."""
        self.maybe_charged = maybe_charged
        """Whether the endpoint may have done the work all the same."""


class RefusedCallError(CallError):
    """The endpoint understood the call and will not take it: status 4xx."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"status {status}: {shown(text)}", again=False)
        self.status = status
        self.text = text


def key_from_environment(spec: EndpointSpec) -> str | None:
    """Return the key, or None for an endpoint without.

    Raises:
        SpecError: the environment variable is not set, or holds no key.
    """
    if spec.api_key_env is None:
        return None
    key = os.environ.get(spec.api_key_env, "").strip()
    if not key:
        raise SpecError(
            f"The model {spec.model} needs its key in the environment variable "
            f"{spec.api_key_env}, which is not set."
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise SpecError(
            f"The environment variable {spec.api_key_env} holds no key: a key is printable ASCII "
            "without spaces."
        )
    return key


class Connection:
    """Connections to one endpoint, kept alive between calls.

    Whatever comes back is cleared of the key before anyone sees it. Needs a running event loop.
    """

    def __init__(self, spec: EndpointSpec, key: str | None) -> None:
        self._spec = spec
        self._key = (key or "").encode()
        self._address = f"{spec.endpoint.rstrip('/')}/chat/completions"
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(spec.endpoint),
        )
        self._answered = False
        self._succeeded = False
        self._refused = 0

    async def post(self, body: bytes, timeout: float, *, doubtful: bool = False) -> Reply:
        """Try a call once.

        Args:
            body: JSON.
            timeout: seconds.
            doubtful: whether a refusal may say nothing about other calls.

        Raises:
            CallError: this try failed.
            SpecError: no call can succeed: wrong key, model or address.
            ResourceError: no call can succeed: the account has no money left.
        """
        status, headers, content = await self._exchange(body, timeout)
        self._answered = True
        try:
            reply = read_reply(status, headers, content)
        except RefusedCallError as error:
            if not doubtful or error.status in _SETTINGS_ARE_WRONG:
                self._check_refusal(error)
            raise
        except CallError as error:
            if status == 429 and _ASKS_FOR_MONEY.search(content):
                raise ResourceError(f"{self._address} wants money first: {error}.") from None
            raise
        self._succeeded = True
        return reply

    async def _exchange(self, body: bytes, timeout: float) -> tuple[int, Mapping[str, str], bytes]:
        started = False
        try:
            async with self._session.post(
                self._address,
                data=body,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=_SECONDS_TO_CONNECT),
                allow_redirects=False,
            ) as response:
                started = response.status == 200
                content = await response.read()
        except _NOT_REACHED as error:
            if not self._answered:
                raise SpecError(
                    f"{self._address} cannot be reached: {shown(str(error))}. "
                    "Check `endpoint`, and that the server is running."
                ) from None
            raise CallError(f"no connection: {shown(str(error))}") from None
        except TimeoutError:
            raise CallError(
                f"no reply within {timeout:g} s", overload=True, maybe_charged=True
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the connection broke: {type(error).__name__}: {shown(str(error))}"
            raise CallError(reason, maybe_charged=started) from None
        if self._key:
            content = content.replace(self._key, _HIDDEN)
        return response.status, response.headers, content

    def _check_refusal(self, error: RefusedCallError) -> None:
        """Stop everything where the other calls cannot fare better."""
        problem = _SETTINGS_ARE_WRONG.get(error.status)
        if error.status == 402:
            raise ResourceError(f"{self._address} wants money first: {error}.") from None
        if error.status == 403 and self._succeeded:  # about this call's content
            return
        if error.status == 400 and _UNKNOWN_MODEL.search(error.text):
            problem = "there is no such model"
        self._refused += 1
        if problem is None and not self._succeeded and self._refused >= _FUTILE:
            problem = f"it refuses every call ({error})"
        if problem is not None:
            seen = f" It said: {shown(error.text)!r}." if error.text.strip() else ""
            raise SpecError(
                f"{self._address} answered {error.status} for the model {self._spec.model!r}: "
                f"{problem}. Check `endpoint`, `model` and `api_key_env`.{seen}"
            ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


def _proxy(address: str) -> str | None:
    """Return the proxy that the environment names for an address.

    aiohttp would do so itself, and look for passwords in ``~/.netrc`` before every call.
    """
    parts = urlsplit(address)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)


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
