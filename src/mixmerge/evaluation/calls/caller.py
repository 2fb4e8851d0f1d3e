"""One call from its first try to its answer, or to the reason why there is none."""

import asyncio
import json
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

from mixmerge.evaluation.calls.connection import Connection
from mixmerge.evaluation.calls.pace import Pace
from mixmerge.evaluation.calls.purse import Purse
from mixmerge.evaluation.calls.reply import CallError, RefusedCallError, Reply
from mixmerge.evaluation.calls.spending import CallSize, Tokens
from mixmerge.evaluation.endpoint_spec import EndpointSpec

FIRST_BACK_OFF = 1.0
"""Seconds at most before the second try; doubled for every further one."""
_NOTHING = Tokens(0, 0)
_TOO_LATE = "not asked: the deadline for all calls had passed"

Body = Mapping[str, Any]


class Caller:
    """Tries calls at the pace that the endpoint bears, as often as that may help."""

    def __init__(
        self,
        spec: EndpointSpec,
        connection: Connection,
        pace: Pace,
        purse: Purse,
        *,
        optional: Iterable[str] = (),
    ) -> None:
        """Start the clock of the deadline.

        Args:
            spec: attempts, time-outs and waits.
            connection: to the endpoint.
            pace: of all calls to it.
            purse: pays for them.
            optional: fields of a request that the endpoint may not know: where it refuses them,
                calls are made without.
        """
        self._spec = spec
        self._connection = connection
        self._pace = pace
        self._purse = purse
        self._optional = frozenset(optional)
        self._left_out: frozenset[str] = frozenset()
        self._end = time.monotonic() + (spec.deadline_seconds or float("inf"))

    async def answer(self, body: Body) -> Reply:
        """Make one call; a failure is a reply with its `Reply.error`.

        Raises:
            OutOfBudgetError: a try could pass the budget.
            SpecError: no call can succeed: wrong key, model or address.
            ResourceError: no call can succeed: the account has no money left.
        """
        for attempt in range(1, self._spec.attempts + 1):
            if time.monotonic() >= self._end:
                return Reply("", error=_TOO_LATE)
            try:
                return await self._without_what_it_refuses(body)
            except CallError as error:
                wait = self._wait(error, attempt)
                if wait is None:
                    return Reply("", error=str(error))
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt has no wait")

    def _wait(self, error: CallError, attempt: int) -> float | None:
        """Return the seconds before another try, or None where there is none."""
        if not error.again or attempt == self._spec.attempts:
            return None
        # Jitter: calls that failed together do not come back together.
        wait = random.uniform(0.5, 1) * FIRST_BACK_OFF * 2 ** (attempt - 1)
        wait = min(wait, self._spec.longest_wait_seconds)
        if error.wait is not None:
            if error.wait > self._spec.longest_wait_seconds:
                return None
            self._pace.pause_for(error.wait)
            wait = error.wait
        return wait if time.monotonic() + wait < self._end else None

    async def _without_what_it_refuses(self, body: Body) -> Reply:
        """Try a call; once more without optional fields, should they be why it is refused."""
        doubtful = self._optional & body.keys() - self._left_out
        try:
            return await self._try(_without(body, self._left_out), doubtful=bool(doubtful))
        except RefusedCallError as error:
            if not doubtful or error.status not in {400, 415, 422, 501}:
                raise
        reply = await self._try(_without(body, self._optional))
        self._left_out = self._optional
        return reply

    async def _try(self, body: Body, *, doubtful: bool = False) -> Reply:
        size = CallSize.of(body)
        reserved = await self._purse.reserve(size)
        used: Tokens | None = None
        try:
            await self._turn(size.expected)
            sent = time.monotonic()
            reply = await self._connection.post(
                json.dumps(body, ensure_ascii=False).encode(),
                min(self._spec.timeout_seconds, max(0.001, self._end - sent)),
                doubtful=doubtful,
            )
            used = size.used(reply)
            self._pace.replied(time.monotonic() - sent, size.expected.total - used.total)
        except CallError as error:
            used = size.expected if error.maybe_charged else _NOTHING
            if error.overload:
                self._pace.overloaded(sent)
            raise
        finally:
            self._purse.settle(reserved, used)
        return reply

    async def _turn(self, expected: Tokens) -> None:
        wait = self._pace.seconds_until_turn(expected.total)
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self._pace.pause


def _without(body: Body, names: frozenset[str]) -> Body:
    return {name: value for name, value in body.items() if name not in names} if names else body
