"""Making many calls at once, each answer to the journal as it comes."""

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls.caller import Body, Caller
from mixmerge.evaluation.calls.connection import Connection
from mixmerge.evaluation.calls.pace import Pace
from mixmerge.evaluation.calls.purse import OutOfBudgetError, Purse
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.calls.spending import Ledger
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.journal import Journal

Result = TypeVar("Result")


class Run:
    """One round of calls: as many at once as the endpoint bears, none held that is finished."""

    def __init__(self, spec: EndpointSpec, journal: Journal, listen: Callable[[int], None]) -> None:
        """Prepare.

        Args:
            spec: address, limits, price and patience.
            journal: where answers go as they come.
            listen: hears after every call how many have come to an end.
        """
        self._spec = spec
        self._journal = journal
        self._listen = listen
        self._done = 0
        self._stopped = False
        self.failed: dict[str, Reply] = {}
        """Replies without an answer, by key."""

    async def send(
        self,
        todo: Iterable[tuple[str, Body]],
        key: str | None,
        ledger: Ledger | None,
        *,
        optional: Iterable[str] = (),
    ) -> None:
        """Make calls until there are none left or the budget is used up.

        Args:
            todo: journal key and body of each call, taken one by one as there is room.
            key: the endpoint's key.
            ledger: counts dollars.
            optional: fields of a request that the endpoint may not know.

        Raises:
            SpecError: no call can succeed: wrong key, model or address.
            ResourceError: the budget is used up, or the disk is full.
        """
        pace = Pace(
            self._spec.concurrency,
            timeout=self._spec.timeout_seconds,
            requests_per_minute=self._spec.requests_per_minute,
            tokens_per_minute=self._spec.tokens_per_minute,
        )
        purse = Purse(ledger, self._spec.price)
        try:
            async with Connection(self._spec, key) as connection, asyncio.TaskGroup() as group:
                caller = Caller(self._spec, connection, pace, purse, optional=optional)
                for name, body in todo:
                    await pace.take_place()
                    if self._stopped:
                        break
                    group.create_task(self._call(name, body, caller, pace))
        except BaseExceptionGroup as errors:
            # All calls meet the same wrong key; one message is enough.
            raise errors.exceptions[0] from None
        if self._stopped:
            raise ResourceError(
                f"The budget of ${self._spec.budget:.2f} has no room for another call to "
                f"{self._spec.model}. Raise `budget` and run the same command again: it asks "
                "only what is missing."
            )

    async def _call(self, name: str, body: Body, caller: Caller, pace: Pace) -> None:
        try:
            reply = await caller.answer(body)
        except OutOfBudgetError:
            self._stopped = True
            return
        finally:
            pace.leave_place()
        if reply.error is None:
            self._journal.append(name, dataclasses.asdict(reply))
        else:
            self.failed[name] = reply
        self._done += 1
        self._listen(self._done)


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
        with contextlib.suppress(RuntimeError):  # it has just come to its end
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join()
