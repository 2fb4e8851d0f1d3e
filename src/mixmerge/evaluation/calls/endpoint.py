"""A chat endpoint that is asked many things at once, and nothing twice.

Each call is tried until it has an answer, which goes to the journal.
"""

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
"""Makes the requests, the same ones each time: thousands of texts need not be held."""

Complaint = Callable[[Reply], str | None]
"""Says why a reply is of no use; None where it is."""

FUTILE = 10
"""Useless replies in a row, before any useful one, after which the rest is not paid for."""
FIRST_BACK_OFF = 1.0
"""Seconds at most before the second try; doubled for every further one."""
_NOTHING = Tokens(0, 0)
_TOO_LATE = "not asked: the deadline for all calls had passed"

Result = TypeVar("Result")


class ChatEndpoint:
    """An OpenAI-compatible chat endpoint with a journal of what it has answered.

    A call is known by everything that is sent: model, messages, sampling and any other field. Its
    answer is in the journal from the moment it arrives; a call that is there is never sent again.
    """

    def __init__(self, spec: EndpointSpec, journal: Path, *, optional: Iterable[str] = ()) -> None:
        """Read the key from the environment.

        Args:
            spec: address, model, limits, price and patience.
            journal: file of finished calls. If there is a price, the file `LEDGER` beside it
                counts what all journals of that folder have cost.
            optional: fields of a request that the endpoint may not know: where it refuses them,
                calls are made without.

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
        """Yield the replies to some requests, asking only what the journal does not hold.

        All calls are made before the first reply is yielded. Calls that failed for good are
        yielded with their `Reply.error` and are not in the journal: another run asks them again.
        The calls are made in a thread of their own, so this works where an event loop runs.

        Args:
            requests: what to ask; the same request twice is one call.
            progress: hears first how many calls there are and what they may cost, then of every
                finished one.
            what: names the activity for ``progress``.
            complaint: says why a reply is of no use. After ten of them in a row, and none of use
                before, no more calls are made.

        Raises:
            SpecError: the endpoint cannot be reached, refuses the key, does not know the model, or
                no reply is of use.
            ResourceError: the budget is used up, or another process is writing the journal.
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
            calls=len(missing),
            tokens=tokens,
            dollars=None if price is None else tokens.cost(price),
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
            whole = {"model": self._spec.model, **request, **self._spec.fields}
            yield {name: value for name, value in whole.items() if value is not None}


def call_key(body: Request) -> str:
    """Return the SHA-256 of everything that a call sends, as 64 hexadecimal digits."""
    # As `fingerprint`, but without its walk through the value: this runs for every call.
    form = json.dumps(body, ensure_ascii=False, sort_keys=True, allow_nan=False)
    return hashlib.sha256(form.encode()).hexdigest()


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

    async def answer(self, body: Request) -> Reply:
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

    async def _without_what_it_refuses(self, body: Request) -> Reply:
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
            # What is in flight when a wrong key or address stops everything costs nothing either.
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

    async def make(self, todo: Iterable[tuple[str, Request]], key: str | None) -> None:
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
                f"{self._useless[0]}"
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
