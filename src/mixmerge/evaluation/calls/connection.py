"""One try of one call over HTTP: reached or not, charged or not, and never more than asked for.

An error that no call can survive, a wrong key for example, stops everything.
"""

import base64
import json
import os
import re
import urllib.request
import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.reply import CallError, RefusedCallError, Reply, read_reply, shown
from mixmerge.evaluation.endpoint_spec import EndpointSpec

_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)
_SECONDS_TO_CONNECT = 15.0
_PATH = "/chat/completions"
_SHORTEST_SECRET = 8
_SHORTEST_IN_ERRORS = 4
"""Of what is hidden there: taking every ``x`` out of a sentence hides nothing and reads badly."""
_HIDDEN = "[the key]"
_FUTILE = 5
"""Calls in a row, before any success, that are refused or whose replies are none: the rest is not
sent."""


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
        self._address = f"{spec.endpoint.rstrip('/').removesuffix(_PATH)}{_PATH}"
        proxy, password = _proxy(spec.endpoint)
        # A key such as EMPTY, for servers that want none, is also a word of answers.
        self._hide = _hider(key if len(key or "") >= _SHORTEST_SECRET else None)
        self._hide_in_error = _hider(
            *(each for each in (key, password) if len(each or "") >= _SHORTEST_IN_ERRORS)
        )
        # What is compressed is unpacked here, up to a limit: aiohttp knows none.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}
        if key is not None:
            bearer = spec.api_key_header == "Authorization"
            headers[spec.api_key_header] = f"Bearer {key}" if bearer else key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=proxy,
            auto_decompress=False,
        )
        self._answered = False
        self._succeeded = False
        self._futile = 0
        self.hopeless = False
        """Whether no call can succeed, and none ever did: then none was charged either."""

    async def post(
        self,
        body: Mapping[str, Any],
        timeout: float,
        most: int,
        *,
        optional: Collection[str] = (),
    ) -> Reply:
        """Try a call once.

        Args:
            body: JSON.
            timeout: seconds.
            most: bytes of the longest reply.
            optional: fields of the body that may be why it is refused, which then stops nothing.

        Raises:
            CallError: this try failed.
            SpecError: no call can succeed: wrong key, model, address or field.
            ResourceError: no call can succeed: the account has no money left.
        """
        try:
            status, headers, text = await self._exchange(body, timeout, most)
            self._answered = True
            reply = read_reply(status, headers, text, body)
        except CallError as error:
            error.doubtful = bool(optional) and _may_be_about(optional, error)
            if isinstance(error, RefusedCallError) and not error.doubtful:
                self._check_refusal(error)
            if error.unread:
                self._count_futile(f"holds no answer ({error})", paid=True)
            raise
        self._succeeded = True
        return reply

    async def _exchange(
        self, body: Mapping[str, Any], timeout: float, most: int
    ) -> tuple[int, Mapping[str, str], str]:
        started = False
        sent = json.dumps(body, ensure_ascii=False).encode()
        try:
            async with self._session.post(
                self._address,
                params=self._spec.query,
                data=sent,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=_SECONDS_TO_CONNECT),
                allow_redirects=False,
            ) as response:
                started = response.status == 200
                content = await _read(response, most)
        except _NOT_REACHED as error:
            problem = self._hide_in_error(shown(str(error)))
            if not self._answered:
                self.hopeless = True
                raise SpecError(
                    f"{self._address} cannot be reached: {problem}. "
                    "Check `endpoint`, and that the server is running."
                ) from None
            raise CallError(f"no connection: {problem}") from None
        except TimeoutError:
            reason = f"no reply within {timeout:g} s"
            raise CallError(reason, overload=True, maybe_charged=True) from None
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            reason = f"the connection broke ({shown(str(error)) or 'no reason given'})"
            raise CallError(self._hide_in_error(reason), maybe_charged=started) from None
        text = self._hide(content.decode("utf-8", errors="replace"))
        return response.status, response.headers, text

    def _check_refusal(self, error: RefusedCallError) -> None:
        """Stop everything where the other calls cannot fare better."""
        why = error.why
        if why.kind == "no money":
            self.hopeless = not self._succeeded
            raise ResourceError(f"{self._address} wants money first: {error}.") from None
        if why.kind == "setting" or (why.kind == "field" and not self._succeeded):
            # Where others succeeded, "forbidden" is about this call's content.
            if error.status != 403 or not self._succeeded:
                self._stop(f"answered {error.status}", why.problem, why.words)
        elif why.kind != "too long":
            self._count_futile(f"refuses every call ({error})")

    def _count_futile(self, problem: str, *, paid: bool = False) -> None:
        self._futile += 1
        if not self._succeeded and self._futile >= _FUTILE:
            self._stop(f"was asked {self._futile} times", f"it {problem}", paid=paid)

    def _stop(self, how: str, problem: str, text: str = "", *, paid: bool = False) -> None:
        self.hopeless = not self._succeeded and not paid
        seen = f" It said: {shown(text)!r}." if text.strip() else ""
        check = "" if "`fields" in problem else " Check `endpoint`, `model` and `api_key_env`."
        raise SpecError(
            f"{self._address} {how} for the model {self._spec.model!r}: {problem}.{check}{seen}"
        ) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()


def _may_be_about(optional: Collection[str], error: CallError) -> bool:
    """Say whether a refusal may be about fields that a call can do without."""
    if error.status not in {400, 415, 422, 501}:
        return False
    why = error.why if isinstance(error, RefusedCallError) else None
    return why is None or why.kind == "unknown" or why.field in optional


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return a body of at most so many bytes, on the wire and unpacked."""
    packed = response.headers.get("Content-Encoding", "").strip().lower()
    unpack = zlib.decompressobj(47) if packed in ("gzip", "x-gzip", "deflate") else None
    content = bytearray()
    async for piece in response.content.iter_any():
        content += unpack.decompress(piece, most + 1 - len(content)) if unpack else piece
        if len(content) > most:
            response.close()
            reason = f"a reply of more than {most:,} bytes, which no answer of the asked length has"
            raise CallError(reason, maybe_charged=True, unread=True)
    return bytes(content)


def _proxy(address: str) -> tuple[str | None, str | None]:
    """Return the proxy that the environment names for an address, and its password.

    aiohttp would do so itself, and look for passwords in ``~/.netrc`` before every call.

    Raises:
        SpecError: what the environment names is no address; it may hold a password, so it is not
            shown.
    """
    parts = urlsplit(address)
    named = urllib.request.getproxies().get(parts.scheme)
    if not named or urllib.request.proxy_bypass(parts.netloc):
        return None, None
    proxy = named if "://" in named else f"http://{named}"
    try:
        split = urlsplit(proxy)
        if split.hostname and split.scheme in ("http", "https") and split.port != 0:
            return proxy, split.password
    except ValueError:
        pass
    raise SpecError(
        f"The environment variable {parts.scheme.upper()}_PROXY names no proxy: http://HOST:PORT "
        "or http://USER:PASSWORD@HOST:PORT is required."
    ) from None


def _hider(*secrets: str | None) -> Callable[[str], str]:
    """Return what takes secrets out of a text, in whatever spelling they stand there."""
    spellings = "|".join(_spelled(secret) for secret in secrets if secret)
    pattern = re.compile(spellings, re.IGNORECASE)
    return lambda text: pattern.sub(_HIDDEN, text) if spellings else text


def _spelled(secret: str) -> str:
    """Return a pattern for a secret: as it is, escaped (JSON, URL, HTML), in hex or base64."""
    letters = "".join(
        rf"(?:\\{{0,4}}(?:{re.escape(each)}|u00{ord(each):02x}|x{ord(each):02x})"
        rf"|%{ord(each):02x}|&#(?:0{{0,4}}{ord(each)}|x0{{0,4}}{ord(each):x});)"
        for each in secret
    )
    whole = secret.encode()
    coded = [letters, whole.hex()]
    for before in range(3):  # of three bytes, base64 makes four letters
        text = base64.b64encode(bytes(before) + whole).decode()[before and before + 1 :]
        text = text if (before + len(whole)) % 3 == 0 else text.rstrip("=")[:-1]
        coded.append(re.escape(text).replace(r"\+", "[+-]").replace("/", "[/_]"))
    return "|".join(each for each in coded if each)
