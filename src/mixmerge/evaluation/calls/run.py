"""Making many calls at once, each tried until it has an answer, which goes to the journal."""

import asyncio
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.connection import Connection
from mixmerge.evaluation.calls.rate_limit import RateLimiter
from mixmerge.evaluation.calls.reply import CallError, Reply, shown
from mixmerge.evaluation.calls.spending import Budget, CallSize, Ledger, OutOfBudgetError, Tokens
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.journal import Journal

Complaint = Callable[[Reply], str | None]
"""Says why a reply is of no use; None where it is."""

FUTILE = 10
"""Useless replies in a row, before any useful one, after which the rest is not paid for."""
FIRST_BACK_OFF = 1.0
"""Seconds at most before the second try; doubled for every further one."""
_NOTHING = Tokens(0, 0)
_TOO_LATE = "not asked: the deadline for all calls had passed"

Body = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass
class Caller:
    """Takes one call from its first try to its answer, or to the reason why there is none.

    The clock of the deadline for all calls starts with it. Where the endpoint refuses the
    ``optional`` fields of a request, calls are made without.
    """

    spec: EndpointSpec
    connection: Connection
    limiter: RateLimiter
    budget: Budget
    optional: frozenset[str]

    def __post_init__(self) -> None:
        self._left_out: frozenset[str] = frozenset()
        self._end = time.monotonic() + (self.spec.deadline_seconds or float("inf"))

    async def answer(self, body: Body) -> Reply:
        """Make one call; a failure is a reply with its `Reply.error`.

        Raises:
            OutOfBudgetError: a try could pass the budget.
            SpecError: no call can succeed: wrong key, model or address.
            ResourceError: no call can succeed: the account has no money left.
        """
        for attempt in range(1, self.spec.attempts + 1):
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
        if not error.again or attempt == self.spec.attempts:
            return None
        # Jitter: calls that failed together do not come back together.
        wait = random.uniform(0.5, 1) * FIRST_BACK_OFF * 2 ** (attempt - 1)
        wait = min(wait, self.spec.longest_wait_seconds)
        if error.wait is not None:
            if error.wait > self.spec.longest_wait_seconds:
                return None
            self.limiter.pause_for(error.wait)
            wait = error.wait
        return wait if time.monotonic() + wait < self._end else None

    async def _without_what_it_refuses(self, body: Body) -> Reply:
        """Try a call; once more without optional fields, should they be why it is refused."""
        doubtful = self.optional & body.keys() - self._left_out
        try:
            return await self._try(_without(body, self._left_out), doubtful)
        except CallError as error:
            if not error.doubtful:
                raise
        reply = await self._try(_without(body, self.optional))
        self._left_out = self.optional
        return reply

    async def _try(self, body: Body, optional: frozenset[str] = frozenset()) -> Reply:
        size = CallSize.of(body)
        reserved = await self.budget.reserve(size)
        used: Tokens | None = None
        try:
            await self._turn(size.expected)
            sent = time.monotonic()
            patience = min(self.spec.timeout_seconds, max(0.001, self._end - sent))
            reply = await self.connection.post(body, patience, size.reply_bytes, optional=optional)
            used = size.used(reply)
            self.limiter.replied(time.monotonic() - sent, size.expected.total - used.total)
        except CallError as error:
            used = size.expected if error.maybe_charged else _NOTHING
            if error.overload:
                self.limiter.overloaded(sent)
            raise
        finally:
            # What is in flight when a wrong key or address stops everything costs nothing either.
            self.budget.settle(reserved, _NOTHING if self.connection.hopeless else used)
        return reply

    async def _turn(self, expected: Tokens) -> None:
        wait = self.limiter.seconds_until_turn(expected.total)
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self.limiter.pause


def _without(body: Body, names: frozenset[str]) -> Body:
    return {name: value for name, value in body.items() if name not in names} if names else body


@dataclass
class Calls:
    """One round of calls: as many at once as the endpoint bears, none held that is finished."""

    spec: EndpointSpec
    journal: Journal
    """Where answers go as they come."""
    ledger: Ledger | None
    listen: Callable[[int], None]
    """Hears after every call how many have come to an end."""
    optional: frozenset[str]
    """Fields of a request that the endpoint may not know."""
    complaint: Complaint | None = None
    failed: dict[str, Reply] = dataclasses.field(default_factory=dict)
    """Replies without an answer, by key."""
    _useless: list[str] | None = dataclasses.field(default_factory=list)
    """What is wrong with every reply so far; None once there was a useful one."""
    _done: int = 0
    _stopped: bool = False

    async def make(self, todo: Iterable[tuple[str, Body]], key: str | None) -> None:
        """Make calls until there are none left or the budget is used up.

        Args:
            todo: journal key and body of each call, taken one by one as there is room.
            key: the endpoint's key.

        Raises:
            SpecError: no call can succeed: wrong key, model or address; or no reply is of use.
            ResourceError: the budget is used up, or the disk is full.
        """
        spec = self.spec
        limiter = RateLimiter(
            spec.concurrency,
            timeout=spec.timeout_seconds,
            requests_per_minute=spec.requests_per_minute,
            tokens_per_minute=spec.tokens_per_minute,
        )
        budget = Budget(self.ledger, spec.price)
        try:
            async with aclosing(Connection(spec, key)) as connection, asyncio.TaskGroup() as group:
                caller = Caller(spec, connection, limiter, budget, self.optional)
                for name, body in todo:
                    await limiter.take_place()
                    if self._stopped:
                        break
                    group.create_task(self._call(name, body, caller, limiter))
        except BaseExceptionGroup as errors:
            # All calls meet the same wrong key; one message is enough.
            raise errors.exceptions[0] from None
        if self._stopped:
            raise ResourceError(
                f"The budget of ${spec.budget:.2f} has no room for another call to {spec.model}. "
                "Raise `budget` and run the same command again: it asks only what is missing."
            )

    async def _call(self, name: str, body: Body, caller: Caller, limiter: RateLimiter) -> None:
        try:
            reply = await caller.answer(body)
        except OutOfBudgetError:
            self._stopped = True
            return
        finally:
            limiter.leave_place()
        if reply.error is None:
            self.journal.append(name, dataclasses.asdict(reply))
            self._check_use(reply)
        else:
            self.failed[name] = reply
        self._done += 1
        self.listen(self._done)

    def _check_use(self, reply: Reply) -> None:
        """Stop where no reply is of any use: the others would be paid for in vain."""
        if self.complaint is None or self._useless is None or reply.refused:
            return
        problem = self.complaint(reply)
        if problem is None:
            self._useless = None
            return
        self._useless.append(problem)
        if len(self._useless) >= FUTILE:
            raise SpecError(
                f"{self.spec.model}: none of the first {FUTILE} replies can be used. The first: "
                f"{shown(self._useless[0])}"
            )


def in_own_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end in a thread, whether or not an event loop runs in this one.

    An interrupt (Ctrl-C) of the caller cancels the coroutine before it goes on.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
    outcome: Future[Result] = Future()

    async def watched() -> Result:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        return await work

    def body() -> None:
        try:
            outcome.set_result(asyncio.run(watched()))
        except BaseException as error:  # noqa: BLE001 (it is raised in the calling thread)
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="calls")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        loop, task = started.result()
        with suppress(RuntimeError):  # it has just come to its end
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
