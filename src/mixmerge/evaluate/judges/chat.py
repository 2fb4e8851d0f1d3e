"""Calls of a chat endpoint: many at once, tried again where that helps, each answer kept."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import stamina

from mixmerge.errors import SpecError
from mixmerge.evaluate.journal import Journal
from mixmerge.evaluate.spec import EndpointJudgeSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress

_SECONDS_BEFORE_SECOND_TRY = 0.5
_SECONDS_OF_JITTER = 1.0
_TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SETTINGS_ARE_WRONG = {
    401: "the key is not accepted",
    403: "the key may not use this model",
    404: "there is no such address or model",
}


@dataclass(frozen=True)
class Reply:
    """What the endpoint said to one request."""

    text: str
    refused: bool = False
    """The model or its provider would not answer."""
    error: str | None = None
    """Why there is no answer, after the last try."""


class _CallError(Exception):
    """One try failed; ``wait`` is what the endpoint asked for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None, *, again: bool = True) -> None:
        super().__init__(reason)
        self.wait = wait
        self.again = again


class ChatEndpoint:
    """An OpenAI-compatible chat endpoint with a journal of what it has answered."""

    def __init__(self, spec: EndpointJudgeSpec, journal: Path) -> None:
        """Read the key from the environment.

        Args:
            spec: address, model, sampling and patience.
            journal: file of finished calls; shared by all runs that may share answers.

        Raises:
            SpecError: the environment variable of the key is not set.
        """
        self._spec = spec
        self._journal = journal
        self._headers: dict[str, str] = {}
        if spec.api_key_env is not None:
            key = os.environ.get(spec.api_key_env)
            if not key:
                raise SpecError(
                    f"The judge {spec.model} needs its key in the environment variable "
                    f"{spec.api_key_env}, which is not set."
                )
            self._headers["Authorization"] = f"Bearer {key}"

    def ask(self, texts: Sequence[str], progress: Progress) -> list[Reply]:
        """Return the replies to some messages, asking only what the journal does not hold.

        Calls that failed for good are in the result but not in the journal: another run asks
        them again.

        Raises:
            SpecError: the endpoint refuses the key or does not know the model.
        """
        requests = [self._request(text) for text in texts]
        keys = [fingerprint(request) for request in requests]
        with Journal(self._journal) as journal:
            missing = {
                key: request
                for key, request in zip(keys, requests, strict=True)
                if key not in journal.finished
            }
            failed = asyncio.run(self._ask_all(missing, journal, progress)) if missing else {}
            return [
                failed[key] if key in failed else Reply(**journal.finished[key]) for key in keys
            ]

    def _request(self, text: str) -> dict[str, Any]:
        return {
            "model": self._spec.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": self._spec.temperature,
            "max_tokens": self._spec.max_tokens,
        }

    async def _ask_all(
        self, missing: Mapping[str, dict[str, Any]], journal: Journal, progress: Progress
    ) -> dict[str, Reply]:
        waiting = iter(missing.items())
        failed: dict[str, Reply] = {}
        done = 0

        async def work(client: httpx.AsyncClient) -> None:
            nonlocal done
            for key, request in waiting:
                reply = await self._call(client, request)
                if reply.error is None:
                    journal.append(key, {"text": reply.text, "refused": reply.refused})
                else:
                    failed[key] = reply
                done += 1
                progress(done, len(missing), "judge calls")

        workers = min(self._spec.concurrency, len(missing))
        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        timeout = self._spec.timeout_seconds
        async with httpx.AsyncClient(
            headers=self._headers, limits=limits, timeout=timeout
        ) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(workers):
                        group.create_task(work(client))
            except BaseExceptionGroup as errors:
                # All workers meet the same wrong key; one message is enough.
                raise errors.exceptions[0] from None
        return failed

    async def _call(self, client: httpx.AsyncClient, request: dict[str, Any]) -> Reply:
        tries = stamina.retry_context(
            on=self._wait_before_next_try,
            attempts=self._spec.attempts,
            timeout=None,
            wait_initial=_SECONDS_BEFORE_SECOND_TRY,
            wait_jitter=_SECONDS_OF_JITTER,
            wait_max=self._spec.longest_wait_seconds,
        )
        reply = Reply("", error="never tried")
        try:
            async for attempt in tries:
                with attempt:
                    reply = await self._try_once(client, request)
        except _CallError as error:
            return Reply("", error=str(error))
        return reply

    def _wait_before_next_try(self, error: Exception) -> bool | float:
        if not isinstance(error, _CallError) or not error.again:
            return False
        if error.wait is None:
            return True
        return error.wait if error.wait <= self._spec.longest_wait_seconds else False

    async def _try_once(self, client: httpx.AsyncClient, request: dict[str, Any]) -> Reply:
        url = f"{self._spec.endpoint.rstrip('/')}/chat/completions"
        try:
            response = await client.post(url, json=request)
        except httpx.TransportError as error:
            raise _CallError(f"{type(error).__name__}: {error}") from error
        if response.status_code in _SETTINGS_ARE_WRONG:
            raise SpecError(
                f"{url} answered {response.status_code} for the judge {self._spec.model!r}: "
                f"{_SETTINGS_ARE_WRONG[response.status_code]}. Check `endpoint`, `model` and "
                "`api_key_env`."
            )
        if response.status_code != httpx.codes.OK:
            reason = f"status {response.status_code}: {response.text[:200]}"
            again = response.status_code in _TEMPORARY
            raise _CallError(reason, _asked_wait(response), again=again)
        return _reply(response)


def _asked_wait(response: httpx.Response) -> float | None:
    """Return the seconds of a ``Retry-After`` header, a number or a date."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def _reply(response: httpx.Response) -> Reply:
    try:
        choice = response.json()["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _CallError(f"not a chat completion: {response.text[:200]!r}") from error
    if refusal or choice.get("finish_reason") == "content_filter":
        return Reply(str(refusal or ""), refused=True)
    if not isinstance(text, str):
        raise _CallError(f"a chat completion without text: {response.text[:200]!r}")
    return Reply(text)
