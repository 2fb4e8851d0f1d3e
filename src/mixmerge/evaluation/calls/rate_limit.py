"""Rate limits: calls in flight, calls and tokens per minute, pauses.

The number of calls in flight is controlled like TCP's congestion window (additive increase,
multiplicative decrease: Jacobson 1988; Chiu and Jain 1989). A round is as many replies as there may
be calls in flight. The window doubles after each good round until the endpoint is first overloaded,
then grows by one. It shrinks to 0.7 when the endpoint refuses a call, does not reply in time, or
replies much more slowly than in its best round.
"""

import asyncio
import time
from collections.abc import Callable

_FIRST = 16
"""Calls in flight in the first round."""
_SHRINK = 0.7
_SLOW = 3.0
"""A round whose latency is this many times the best round's has too many calls in flight."""
_FORGET = 1.02
"""Factor on the best round's latency after each round, since requests may become longer."""


class Rate:
    """At most ``per_minute`` units, spread evenly; None: any number."""

    def __init__(self, per_minute: float | None) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        self._free_at = float("-inf")

    def reserve(self, amount: float, now: float) -> float:
        """Take ``amount`` units; return the seconds to wait before they may be used."""
        if self._per_second is None:
            return 0.0
        start = max(self._free_at, now)
        self._free_at = start + amount / self._per_second
        return start - now

    def give_back(self, amount: float) -> None:
        """Return units that were reserved and not used; negative: more were used."""
        if self._per_second is not None:
            self._free_at -= amount / self._per_second


class RateLimiter:
    """Decides when the next call may start, from the replies to the earlier ones."""

    def __init__(
        self,
        most: int,
        *,
        timeout: float,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the limits: at most ``most`` calls in flight, each with ``timeout`` seconds.

        Replies that take half of the timeout are too slow. Tokens are those sent and received.
        """
        self.limit = float(min(_FIRST, most))
        """Calls that may be in flight."""
        self.in_flight = 0
        self._most = most
        self._timeout = timeout
        self._clock = clock
        self._requests = Rate(requests_per_minute)
        self._tokens = Rate(tokens_per_minute)
        self._freed = asyncio.Event()
        self._resume_at = self._shrunk_at = float("-inf")
        self._doubling = True
        self._best = float("inf")
        self._replies, self._seconds = 0, 0.0

    async def take_place(self) -> None:
        """Wait until another call may be in flight. Only one task may wait at a time."""
        while self.in_flight >= int(self.limit):
            self._freed.clear()
            await self._freed.wait()
        self.in_flight += 1

    def leave_place(self) -> None:
        """Let the next call in."""
        self.in_flight -= 1
        self._freed.set()

    def seconds_until_turn(self, tokens: float) -> float:
        """Reserve a request and its tokens; return the seconds to wait before sending it."""
        now = self._clock()
        waits = (self._requests.reserve(1, now), self._tokens.reserve(tokens, now))
        return max(*waits, self.pause)

    @property
    def pause(self) -> float:
        """Seconds left of the pause that the endpoint asked for."""
        return max(0.0, self._resume_at - self._clock())

    def pause_for(self, seconds: float) -> None:
        """Send nothing for some seconds: the endpoint's ``Retry-After`` is about all calls."""
        self._resume_at = max(self._resume_at, self._clock() + seconds)

    def replied(self, seconds: float, unused_tokens: float) -> None:
        """Record a good reply, ``seconds`` after sending, and give its unused tokens back."""
        self._tokens.give_back(unused_tokens)
        self._replies += 1
        self._seconds += seconds
        if self._replies >= self.limit:
            self._end_round(self._seconds / self._replies)

    def overloaded(self, sent_at: float) -> None:
        """Record that a call was refused, or had no reply in time."""
        # All calls that were sent before a decrease belong to the same overload.
        if sent_at > self._shrunk_at:
            self._shrink()

    def _end_round(self, latency: float) -> None:
        self._best = min(self._best * _FORGET, latency)
        if latency > _SLOW * self._best or latency > self._timeout / 2:
            self._shrink()
            return
        self._replies, self._seconds = 0, 0.0
        grown = self.limit * 2 if self._doubling else self.limit + 1
        self.limit = min(grown, float(self._most))
        self._freed.set()

    def _shrink(self) -> None:
        self._doubling = False
        self._shrunk_at = self._clock()
        self._replies, self._seconds = 0, 0.0
        self.limit = max(1.0, self.limit * _SHRINK)
