"""What calls cost: an estimate before, a count of every dollar after, and a limit that holds.

Nobody knows an endpoint's tokenizer, so tokens are estimated from UTF-8 bytes, which is fairer to
languages than characters are. Whether a call still fits into a budget is not left to an estimate:
no tokenizer in use makes more than one token of a byte.
"""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.durable import Log, read_log, value_of
from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.endpoint_spec import LIMITS, Price

LEDGER = "spent.jsonl"
"""What the calls of all journals in a folder cost together."""
BYTES_PER_TOKEN = 3
"""English has about 4.5 bytes a token, Hindi in older tokenizers under 3."""
_TOKENS_OF_TEMPLATE = 100
"""More than any chat template puts around one message."""
_ENVELOPE_BYTES = 256 * 1024
_MOST_BYTES_PER_TOKEN = 64
_LONGEST_ANSWER = 100_000
"""Tokens of an answer without a limit."""
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
        """Return dollars; nothing where there is no price."""
        if price is None:
            return 0.0
        return (self.input * price.input + self.output * price.output) / 1e6


@dataclass(frozen=True)
class CallSize:
    """How large one call is, before it is made."""

    text_bytes: int
    """UTF-8 bytes of all its messages."""
    around: int
    """The most tokens that stand around them: of a chat template, and of the reply's schema."""
    max_tokens: int
    """Where its answer is cut off."""

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
        """Tokens as estimated: a third of the bytes, and an answer up to its limit."""
        return Tokens(math.ceil(self.text_bytes / BYTES_PER_TOKEN), self.max_tokens)

    @property
    def most(self) -> Tokens:
        """Tokens that the call cannot pass: one for every byte."""
        return Tokens(self.text_bytes + self.around, self.max_tokens)

    @property
    def reply_bytes(self) -> int:
        """Bytes of the longest reply: envelope, echo of the question, answer in JSON escapes."""
        answer = _MOST_BYTES_PER_TOKEN * (self.max_tokens or _LONGEST_ANSWER)
        return _ENVELOPE_BYTES + self.text_bytes + answer

    def used(self, reply: Reply) -> Tokens:
        """Return what the endpoint counted, or an estimate where it does not count."""
        written = math.ceil(len((reply.thoughts + reply.text).encode()) / BYTES_PER_TOKEN)
        return Tokens(
            self.expected.input if reply.input_tokens is None else reply.input_tokens,
            written if reply.output_tokens is None else reply.output_tokens,
        )


@dataclass(frozen=True)
class Estimate:
    """What some calls would take, before they are made."""

    calls: int
    """Calls that are not finished yet."""
    tokens: Tokens
    """Of the calls that are not finished; every answer counted up to its limit."""
    dollars: float | None
    """None where the price is not known."""

    def __str__(self) -> str:
        millions = self.tokens.total / 1e6
        size = f"up to about {millions:.2f} M tokens"
        return size if self.dollars is None else f"{size}, ${self.dollars:.2f}"


class Ledger:
    """Dollars spent by all processes that share a file: reserved before a call, settled after.

    What was reserved and never settled counts in full: the endpoint may charge for calls that were
    in flight when a process was killed.
    """

    def __init__(self, path: Path, budget: float | None) -> None:
        """Open JSON Lines of dollars, one change a line, whose sum may not pass ``budget``.

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
        """Set some dollars aside if the budget allows it.

        Raises:
            ResourceError: the disk is full.
        """
        with self._locked():
            if self._spent + dollars > self._budget + _ROUNDING:
                return False
            self._write(dollars)
        return True

    def settle(self, reserved: float, spent: float) -> None:
        """Replace what was set aside by what was spent.

        Raises:
            ResourceError: the disk is full.
        """
        with self._locked():
            self._write(spent - reserved)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from writing, and count first what they have written."""
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
    """Return the dollars of a line; a bare number is what a person has put for a damaged one."""
    change = line if line[:1] != b"[" else value_of(line)
    if not isinstance(change, (bytes, int, float)) or not math.isfinite(float(change)):
        raise ValueError("no number of dollars")
    return float(change)


def spent(run: Path) -> dict[str, float]:
    """Return the dollars that calls to priced endpoints have cost in a run, by kind of step.

    What is in flight counts in full, a damaged line not at all; the next call names it.
    """
    ledgers = sorted(run.glob(f"cache/*/{LEDGER}"))
    return {ledger.parent.name: sum(read_log(ledger, _change)) for ledger in ledgers}


class OutOfBudgetError(Exception):
    """The next call could pass the budget, and no call in flight can still make room."""


class Budget:
    """Sets dollars of a ledger aside for tries in flight; without a price, everything is free."""

    def __init__(self, ledger: Ledger | None, price: Price | None) -> None:
        self._ledger = ledger
        self._price = price
        self._in_flight = 0
        self._settled = asyncio.Event()

    async def reserve(self, size: CallSize) -> float:
        """Set aside what a try may cost at most; wait for tries in flight to settle for less.

        Returns:
            Dollars, for `settle`.

        Raises:
            OutOfBudgetError: there is no room, and nothing in flight can make any.
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
        """Count what a try took in place of what was set aside; None: all of it, to be safe."""
        self._in_flight -= 1
        self._settled.set()
        if self._ledger is not None and used is not None:
            self._ledger.settle(reserved, used.cost(self._price))
