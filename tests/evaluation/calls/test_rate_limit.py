"""The limiter follows the endpoint: more while it bears it, less at once when it does not."""

import asyncio
import itertools

import pytest

from mixmerge.evaluation.calls.rate_limit import Rate, RateLimiter


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def good_round(limiter: RateLimiter, latency: float = 1.0) -> None:
    for _ in range(int(limiter.limit)):
        limiter.replied(latency, 0)


def test_it_doubles_until_the_endpoint_has_enough() -> None:
    """From 16 to the most that is allowed in three good rounds."""
    limiter = RateLimiter(100, timeout=60)
    limits = [limiter.limit]
    for _ in range(4):
        good_round(limiter)
        limits.append(limiter.limit)
    assert limits == [16, 32, 64, 100, 100]


def test_it_shrinks_by_a_factor_and_grows_by_one() -> None:
    """Additive increase, multiplicative decrease, once the endpoint has shown its limit."""
    limiter = RateLimiter(100, timeout=60, clock=(clock := Clock()))
    limiter.overloaded(clock.now)
    assert limiter.limit == pytest.approx(16 * 0.7)
    clock.now += 1
    before = limiter.limit
    for number in range(1, 4):
        for _ in range(int(limiter.limit) + 1):
            limiter.replied(1.0, 0)
        assert before + number <= limiter.limit + 1e-9
    assert limiter.limit < 16 * 0.7 + 5


def test_calls_that_were_sent_before_a_decrease_cause_no_other() -> None:
    """Sixteen refusals of one burst are one piece of news; a later call's is another."""
    limiter = RateLimiter(100, timeout=60, clock=(clock := Clock()))
    for sent in range(16):
        limiter.overloaded(clock.now - sent)
    assert limiter.limit == pytest.approx(16 * 0.7)
    clock.now += 1
    limiter.overloaded(clock.now)
    assert limiter.limit == pytest.approx(16 * 0.7**2)


def test_one_call_is_always_possible() -> None:
    """However often the endpoint refuses."""
    limiter = RateLimiter(100, timeout=60, clock=(clock := Clock()))
    for _ in range(100):
        clock.now += 1
        limiter.overloaded(clock.now)
    assert limiter.limit == 1


@pytest.mark.parametrize(
    ("latencies", "shrinks"),
    [
        ((1.0, 2.9), False),
        ((1.0, 3.2), True),
        ((4.0, 11.0), False),
        ((29.0,), False),
        ((31.0,), True),
    ],
)
def test_slow_rounds_shrink_it(latencies: tuple[float, ...], shrinks: bool) -> None:
    """A round is slow against the best one, or against the time-out (60 s here)."""
    limiter = RateLimiter(1000, timeout=60)
    for latency in latencies[:-1]:
        good_round(limiter, latency)
    before = limiter.limit
    good_round(limiter, latencies[-1])
    assert (limiter.limit < before) == shrinks


@pytest.mark.parametrize("served", [1, 5, 40, 200])
def test_it_finds_what_an_endpoint_serves(served: int) -> None:
    """Of an endpoint that answers so many at once and refuses the rest, most is used."""
    limiter = RateLimiter(1000, timeout=60, clock=(clock := Clock()))
    used = refused = sent = 0
    for _ in range(400):
        now, clock.now = clock.now, clock.now + 1
        at_once = int(limiter.limit)
        sent += at_once
        used += min(at_once, served)
        refused += max(0, at_once - served)
        for _ in range(min(at_once, served)):
            limiter.replied(1.0, 0)
        if at_once > served:
            limiter.overloaded(now + 0.5)
    assert used / 400 >= 0.75 * served
    assert refused / sent <= (0.35 if served == 1 else 0.15)


def test_at_most_so_many_are_in_flight() -> None:
    """Taking a place waits until one is left."""

    async def scenario() -> list[int]:
        limiter, seen, now = RateLimiter(3, timeout=60), list[int](), 0

        async def call() -> None:
            nonlocal now
            now += 1
            seen.append(now)
            await asyncio.sleep(0.001)
            now -= 1
            limiter.leave_place()

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                await limiter.take_place()
                group.create_task(call())
        return seen

    seen = asyncio.run(scenario())
    assert len(seen) == 20
    assert max(seen) == 3


def test_a_rate_spreads_evenly() -> None:
    """Sixty a minute is one a second, from the first on; unused time is not saved up."""
    rate = Rate(60)
    assert [rate.reserve(1, 10.0) for _ in range(3)] == [0, 1, 2]
    assert rate.reserve(2, 12.5) == 0.5
    assert [rate.reserve(1, 100.0) for _ in range(2)] == [0, 1]


def test_what_was_not_used_is_given_back() -> None:
    """Ten reserved, four used: the next waits for four."""
    rate = Rate(60)
    rate.reserve(10, 0.0)
    rate.give_back(6)
    assert rate.reserve(1, 0.0) == 4


def test_no_limit_is_no_wait() -> None:
    """Without a rate nothing is held back."""
    rate = Rate(None)
    assert {rate.reserve(1e9, now) for now in itertools.repeat(0.0, 100)} == {0.0}


def test_the_stricter_limit_decides() -> None:
    """Requests, tokens and the endpoint's own pause: the longest wait counts."""
    limiter = RateLimiter(
        10, timeout=60, clock=(clock := Clock()), requests_per_minute=60, tokens_per_minute=600
    )
    assert limiter.seconds_until_turn(100) == 0
    assert limiter.seconds_until_turn(1) == 10
    limiter.pause_for(30)
    assert limiter.seconds_until_turn(1) == 30
    limiter.pause_for(5)
    clock.now += 12
    assert limiter.pause == 18
