"""The cost of calls: an estimate before, a ledger after, and a budget that is never exceeded.

The endpoint's tokenizer is unknown, so tokens are estimated from UTF-8 bytes, which is fairer
across languages than characters. The budget does not rely on that estimate: it assumes one token
per byte, the most that any tokenizer in use makes.
"""

import asyncio
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.durable import Log, value_of
from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.endpoint_spec import LIMITS, Price

LEDGER = "spent.jsonl"
"""The cost of the calls of all journals in a folder."""
BYTES_PER_TOKEN = 3
"""English has about 4.5 bytes per token, Hindi in older tokenizers less than 3."""
_TOKENS_OF_TEMPLATE = 100
"""More than any chat template adds to one message."""
_ENVELOPE_BYTES = 256 * 1024
_MOST_BYTES_PER_TOKEN = 64
_LONGEST_ANSWER = 100_000
"""Assumed tokens of an answer without a limit."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Tokens:
    """Tokens of some calls."""

    input: int
    output: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.input + other.input, self.output + other.output)

    def cost(self, price: Price | None) -> float:
        """Return dollars; 0 without a price."""
        if price is None:
            return 0.0
        return (self.input * price.input + self.output * price.output) / 1e6


@dataclass(frozen=True)
class CallSize:
    """The size of one call before it is made."""

    text_bytes: int
    """UTF-8 bytes of all its messages."""
    around: int
    """The most tokens that the chat template and the reply's schema add."""
    max_tokens: int
    """The limit of its answer."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "CallSize":
        """Measure the body of a chat completion."""
        texts = [str(message.get("content", "")) for message in body["messages"]]
        around = _TOKENS_OF_TEMPLATE * len(texts)
        if "response_format" in body:
            around += len(json.dumps(body["response_format"]))
        limit = max(int(body.get(name, 0)) for name in LIMITS)
        return cls(sum(len(text.encode()) for text in texts), around, limit)

    @property
    def expected(self) -> Tokens:
        """The estimate: a third of the bytes, and an answer up to its limit."""
        return Tokens(math.ceil(self.text_bytes / BYTES_PER_TOKEN), self.max_tokens)

    @property
    def most(self) -> Tokens:
        """The upper bound: one token per byte."""
        return Tokens(self.text_bytes + self.around, self.max_tokens)

    @property
    def reply_bytes(self) -> int:
        """The largest reply in bytes: envelope, echoed prompt, answer in JSON escapes."""
        answer = _MOST_BYTES_PER_TOKEN * (self.max_tokens or _LONGEST_ANSWER)
        return _ENVELOPE_BYTES + self.text_bytes + answer

    def used(self, reply: Reply) -> Tokens:
        """Return the endpoint's counts, or an estimate if there are none."""
        written = math.ceil(len((reply.thoughts + reply.text).encode()) / BYTES_PER_TOKEN)
        return Tokens(
            self.expected.input if reply.input_tokens is None else reply.input_tokens,
            written if reply.output_tokens is None else reply.output_tokens,
        )


@dataclass(frozen=True)
class Estimate:
    """The size and cost of the calls that are not finished."""

    calls: int
    tokens: Tokens
    """Every answer is counted up to its limit."""
    dollars: float | None
    """None if the price is unknown."""

    def __str__(self) -> str:
        millions = self.tokens.total / 1e6
        size = f"up to about {millions:.2f} M tokens"
        return size if self.dollars is None else f"{size}, ${self.dollars:.2f}"


class Ledger:
    """Dollars spent by all processes that share a file: reserved before a call, settled after.

    Reserved amounts that are never settled count in full, because the endpoint may charge for calls
    that were in flight when a process was killed.
    """

    def __init__(self, path: Path, budget: float | None) -> None:
        """Open a file of dollars, one change per line, whose sum may not exceed ``budget``.

        Raises:
            ResourceError: the folder is not writable.
        """
        self._log = Log(path)
        self._budget = math.inf if budget is None else budget
        self._lines = 0
        self._spent = 0.0

    @property
    def spent(self) -> float:
        """Dollars spent or reserved, by all processes so far."""
        with self._locked():
            return self._spent

    def reserve(self, dollars: float) -> bool:
        """Reserve dollars and return True, or return False if the budget does not allow it.

        Raises:
            ResourceError: the disk is full.
        """
        with self._locked():
            if self._spent + dollars > self._budget + _ROUNDING:
                return False
            self._write(dollars)
        return True

    def settle(self, reserved: float, spent: float) -> None:
        """Replace a reserved amount by the amount that was spent.

        Raises:
            ResourceError: the disk is full.
        """
        with self._locked():
            self._write(spent - reserved)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file, and first add what other processes have written."""
        self._log.lock(patience=math.inf)
        try:
            for _, line in self._log.new_lines():
                self._spent += self._dollars(line)
                self._lines += 1
            yield
        finally:
            self._log.unlock()

    def _dollars(self, line: bytes) -> float:
        try:
            return _change(line)
        except ValueError:
            raise ResourceError(
                f"{self._log.path}, line {self._lines + 1}: a number of dollars is required (seen: "
                f"{line.strip()[:40]!r}), so what was spent is not known. Put the number there, or "
                "remove the line if it cost nothing."
            ) from None

    def _write(self, change: float) -> None:
        self._log.append(change)
        self._spent += change
        self._lines += 1

    def close(self) -> None:
        """Flush to the disk and close."""
        self._log.sync()
        self._log.close()


def _change(line: bytes) -> float:
    """Return the dollars of a line; a bare number is a damaged line that was repaired by hand."""
    change = line if line[:1] != b"[" else value_of(line)
    if not isinstance(change, (bytes, int, float)) or not math.isfinite(float(change)):
        raise ValueError("no number of dollars")
    return float(change)


class Spending:
    """The dollars that calls to priced endpoints have cost in a run, while it runs.

    Calls in flight count in full. Damaged lines are skipped; the next call reports them.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self._read: dict[Path, tuple[int, float]] = {}
        """Bytes read of each ledger, and their sum."""

    def by_kind(self) -> dict[str, float]:
        """Return the dollars by kind of step; reads only what was added since the last call."""
        cache, found = self._run / "cache", dict[str, float]()
        # A kind of step has a ledger, or one for each of its sources: KIND/NAME/calls.
        for pattern in (f"*/{LEDGER}", f"*/*/*/{LEDGER}"):
            for ledger in sorted(cache.glob(pattern)):
                kind = ledger.relative_to(cache).parts[0]
                found[kind] = found.get(kind, 0.0) + self._sum(ledger)
        return dict(sorted(found.items()))

    def _sum(self, ledger: Path) -> float:
        end, dollars = self._read.get(ledger, (0, 0.0))
        with suppress(OSError), ledger.open("rb") as stream:
            if stream.seek(0, os.SEEK_END) < end:  # someone repaired the file
                end, dollars = 0, 0.0
            stream.seek(end)
            for line in stream:
                if not line.endswith(b"\n"):  # a process is writing it
                    break
                end += len(line)
                with suppress(ValueError):
                    dollars += _change(line)
        self._read[ledger] = end, dollars
        return dollars


def spent(run: Path) -> dict[str, float]:
    """Return the dollars that a run has cost by kind of step; see `Spending`."""
    return Spending(run).by_kind()


class OutOfBudgetError(Exception):
    """The next call could exceed the budget, and no call in flight can free any of it."""


class Budget:
    """Reserves dollars of a ledger for attempts in flight; without a price, calls are free."""

    def __init__(self, ledger: Ledger | None, price: Price | None) -> None:
        self._ledger = ledger
        self._price = price
        self._in_flight = 0
        self._settled = asyncio.Event()

    async def reserve(self, size: CallSize) -> float:
        """Reserve the most that an attempt may cost, and return it in dollars for `settle`.

        This waits until attempts in flight have freed enough of the budget.

        Raises:
            OutOfBudgetError: the budget is too small, and no attempt is in flight.
        """
        dollars = size.most.cost(self._price)
        while self._ledger is not None and not self._ledger.reserve(dollars):
            if self._in_flight == 0:
                raise OutOfBudgetError
            self._settled.clear()
            await self._settled.wait()
        self._in_flight += 1
        return dollars

    def settle(self, reserved: float, used: Tokens | None) -> None:
        """Replace a reserved amount by the cost of the tokens used; None keeps all of it."""
        self._in_flight -= 1
        self._settled.set()
        if self._ledger is not None and used is not None:
            self._ledger.settle(reserved, used.cost(self._price))
