"""One try of one call over HTTP; what no call can survive stops everything."""

import os
import re
import urllib.request
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.reply import CallError, RefusedCallError, Reply, read_reply, shown
from mixmerge.evaluation.endpoint_spec import EndpointSpec

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
_NOT_REACHED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)
_SECONDS_TO_CONNECT = 15.0
_FUTILE = 5
"""Refused calls in a row, before any success, after which the rest is not sent."""


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

    Whatever comes back is cleared of the key before anyone sees it.
    """

    def __init__(self, spec: EndpointSpec, key: str | None) -> None:
        """Prepare; nothing is sent yet. Needs a running event loop."""
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
            body: of the request, JSON.
            timeout: seconds.
            doubtful: the endpoint may refuse this call for a reason that says nothing about
                others.

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()


def _proxy(address: str) -> str | None:
    """Return the proxy that the environment names for an address.

    aiohttp would do so itself, and look for passwords in ``~/.netrc`` before every call.
    """
    parts = urlsplit(address)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)
