"""Many concurrent calls to a chat endpoint, with retries and a journal of finished calls."""

import asyncio
import dataclasses
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import aclosing, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.connection import Connection, key_from_environment
from mixmerge.evaluation.calls.rate_limit import RateLimiter
from mixmerge.evaluation.calls.reply import CallError, Reply
from mixmerge.evaluation.calls.spending import (
    LEDGER,
    Budget,
    CallSize,
    Estimate,
    Ledger,
    OutOfBudgetError,
    Tokens,
)
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.journal import Journal
from mixmerge.progress import Progress, silent

Request = Mapping[str, Any]
"""A chat completion's body without the model: ``messages``, ``max_tokens``, ``temperature``, ..."""

Requests = Callable[[], Iterable[Request]]
"""Yields the requests, the same each time, so that they need not all be in memory."""

Complaint = Callable[[Reply], str | None]
"""Returns why a reply is unusable; None if it is usable."""

FUTILE = 10
"""Unusable replies, before any usable one, after which no more calls are made."""
FIRST_BACK_OFF = 1.0
"""The longest wait in seconds before the second attempt; doubled for each further one."""
_NOTHING = Tokens(0, 0)
_TOO_LATE = "not asked: the deadline for all calls had passed"

Result = TypeVar("Result")


class ChatEndpoint:
    """An OpenAI-compatible chat endpoint with a journal of finished calls.

    A call is identified by its whole body: model, messages, sampling and any other field. Its
    answer is journalled as it arrives, and a journalled call is never sent again.
    """

    def __init__(self, spec: EndpointSpec, journal: Path, *, optional: Iterable[str] = ()) -> None:
        """Read the key from the environment.

        If there is a price, the file `LEDGER` beside ``journal`` counts the cost of all journals in
        that folder. The ``optional`` fields of a request are left out if the endpoint refuses them.

        Raises:
            SpecError: the environment variable of the key is not set.
        """
        self._spec = spec
        self._journal = journal
        self._optional = frozenset(optional)
        self._key = key_from_environment(spec)

    def ask(
        self,
        requests: Requests,
        progress: Progress = silent,
        *,
        what: str = "calls",
        complaint: Complaint | None = None,
    ) -> Iterator[Reply]:
        """Yield the replies to requests; only calls that are not in the journal are made.

        All calls are made before the first reply is yielded. Calls that failed have a `Reply.error`
        and are not journalled, so another run makes them again. The calls run in their own thread,
        so this also works inside an event loop.

        Args:
            requests: equal requests are one call.
            progress: told first how many calls there are and what they may cost, then of each.
            what: the activity's name for ``progress``.
            complaint: returns why a reply is unusable. If the first `FUTILE` replies are unusable,
                no more calls are made.

        Raises:
            SpecError: the endpoint cannot be reached, refuses the key, does not know the model, or
                no reply is usable.
            ResourceError: the budget is spent, or another process is writing the journal.
        """
        with Journal(self._journal) as journal:
            keys, estimate = self._survey(requests, journal)
            failed: Mapping[str, Reply] = {}
            if estimate.calls:
                todo = self._missing(zip(keys, self._bodies(requests), strict=True), journal)
                failed = self._send(todo, estimate, journal, progress, what, complaint)
            for key in keys:
                yield failed[key] if key in failed else Reply(**journal[key])

    def _survey(self, requests: Requests, journal: Journal) -> tuple[list[str], Estimate]:
        keys: list[str] = []
        missing: set[str] = set()
        tokens = Tokens(0, 0)
        for body in self._bodies(requests):
            key = call_key(body)
            keys.append(key)
            if key not in journal and key not in missing:
                missing.add(key)
                tokens += CallSize.of(body).expected
        price = self._spec.price
        return keys, Estimate(
            calls=len(missing), tokens=tokens, dollars=None if price is None else tokens.cost(price)
        )

    def _send(
        self,
        todo: Iterable[tuple[str, Request]],
        estimate: Estimate,
        journal: Journal,
        progress: Progress,
        what: str,
        complaint: Complaint | None,
    ) -> Mapping[str, Reply]:
        def listen(done: int) -> None:
            progress(done, estimate.calls, f"{what} ({estimate})")

        listen(0)
        price, ledger = self._spec.price, self._journal.with_name(LEDGER)
        with closing(Ledger(ledger, self._spec.budget)) if price else nullcontext() as spent:
            calls = Calls(self._spec, journal, spent, listen, self._optional, complaint)
            in_own_thread(calls.make(todo, self._key))
        return calls.failed

    def _missing(
        self, calls: Iterable[tuple[str, Request]], journal: Journal
    ) -> Iterator[tuple[str, Request]]:
        sent: set[str] = set()
        for key, body in calls:
            if key not in sent and key not in journal:
                sent.add(key)
                yield key, body

    def _bodies(self, requests: Requests) -> Iterator[Request]:
        for request in requests():
            yield body_of(self._spec, request)


def body_of(spec: EndpointSpec, request: Request) -> Request:
    """Return everything that a call of a request sends."""
    whole = {"model": spec.model, **request, **spec.fields}
    return {name: value for name, value in whole.items() if value is not None}


def call_key(body: Request) -> str:
    """Return the SHA-256 of everything that a call sends, as 64 hexadecimal digits."""
    # Like `fingerprint`, without its check of the value: this runs for every call.
    form = json.dumps(body, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(form.encode()).hexdigest()


@dataclass
class Caller:
    """Makes single calls, with retries. The deadline for all calls counts from its creation.

    If the endpoint refuses the ``optional`` fields of a request, they are left out from then on.
    """

    spec: EndpointSpec
    connection: Connection
    limiter: RateLimiter
    budget: Budget
    optional: frozenset[str]

    def __post_init__(self) -> None:
        self._left_out: frozenset[str] = frozenset()
        self._end = time.monotonic() + (self.spec.deadline_seconds or float("inf"))

    async def answer(self, body: Request) -> Reply:
        """Make one call; if it fails, the reply has a `Reply.error`.

        Raises:
            OutOfBudgetError: an attempt could exceed the budget.
            SpecError: no call can succeed: wrong key, model or address.
            ResourceError: no call can succeed: the account has no credit left.
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
        """Return the seconds to wait before the next attempt; None to give up."""
        if not error.again or attempt == self.spec.attempts:
            return None
        # Jitter, so that calls that failed together are not retried together.
        wait = random.uniform(0.5, 1) * FIRST_BACK_OFF * 2 ** (attempt - 1)
        wait = min(wait, self.spec.longest_wait_seconds)
        if error.wait is not None:
            if error.wait > self.spec.longest_wait_seconds:
                return None
            self.limiter.pause_for(error.wait)
            wait = error.wait
        return wait if time.monotonic() + wait < self._end else None

    async def _without_what_it_refuses(self, body: Request) -> Reply:
        """Attempt a call; if it is refused for its optional fields, attempt it without them."""
        doubtful = self.optional & body.keys() - self._left_out
        try:
            return await self._try(_without(body, self._left_out), doubtful)
        except CallError as error:
            if not error.doubtful:
                raise
        reply = await self._try(_without(body, self.optional))
        self._left_out = self.optional
        return reply

    async def _try(self, body: Request, optional: frozenset[str] = frozenset()) -> Reply:
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
            # Calls in flight when a wrong key or address stops all calls cost nothing either.
            self.budget.settle(reserved, _NOTHING if self.connection.hopeless else used)
        return reply

    async def _turn(self, expected: Tokens) -> None:
        wait = self.limiter.seconds_until_turn(expected.total)
        while wait > 0:
            await asyncio.sleep(wait)
            wait = self.limiter.pause


def _without(body: Request, names: frozenset[str]) -> Request:
    return {name: value for name, value in body.items() if name not in names} if names else body


@dataclass
class Calls:
    """One round of concurrent calls; finished calls are not kept in memory."""

    spec: EndpointSpec
    journal: Journal
    ledger: Ledger | None
    listen: Callable[[int], None]
    """Called after each call with the number of finished calls."""
    optional: frozenset[str]
    """Fields that are left out if the endpoint refuses them."""
    complaint: Complaint | None = None
    failed: dict[str, Reply] = dataclasses.field(default_factory=dict)
    """Replies without an answer, by key."""
    _useless: list[str] | None = dataclasses.field(default_factory=list)
    """The complaint about each reply so far; None after the first usable one."""
    _done: int = 0
    _stopped: bool = False

    async def make(self, todo: Iterable[tuple[str, Request]], key: str | None) -> None:
        """Make calls until there are none left or the budget is spent.

        ``todo`` has the journal key and body of each call; ``key`` is the endpoint's.

        Raises:
            SpecError: no call can succeed: wrong key, model or address; or no reply is usable.
            ResourceError: the budget is spent, or the disk is full.
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
            # All calls fail alike with a wrong key; one message is enough.
            raise errors.exceptions[0] from None
        if self._stopped:
            raise ResourceError(
                f"The budget of ${spec.budget:.2f} has no room for another call to {spec.model}. "
                "Raise `budget` and run the same command again: it asks only what is missing."
            )

    async def _call(self, name: str, body: Request, caller: Caller, limiter: RateLimiter) -> None:
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
        """Stop if no reply is usable: the remaining calls would be paid for nothing."""
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
                f"{self._useless[0]}"
            )


def in_own_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in its own thread, also while an event loop runs in this one.

    Ctrl-C in the calling thread cancels the coroutine.
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
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name="calls")
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        loop, task = started.result()
        with suppress(RuntimeError):  # it has just finished
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
