"""What calls cost: an estimate before, a count of every dollar after, and a limit that holds.

Nobody knows an endpoint's tokenizer, so tokens are estimated from UTF-8 bytes, which is fairer to
languages than characters are. Whether a call still fits into a budget is not left to an estimate:
no tokenizer in use makes more than one token of a byte.
"""

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.endpoint_spec import LIMITS, Price
from mixmerge.files import explained_disk_errors

BYTES_PER_TOKEN = 3
"""English has about 4.5 bytes a token, Hindi in older tokenizers under 3."""
_TOKENS_OF_TEMPLATE = 100
"""More than any chat template puts around one message."""
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

    def used(self, reply: Reply) -> Tokens:
        """Return what the endpoint counted, or an estimate where it does not count."""
        written = math.ceil(len(reply.text.encode()) / BYTES_PER_TOKEN)
        return Tokens(
            self.expected.input if reply.input_tokens is None else reply.input_tokens,
            written if reply.output_tokens is None else reply.output_tokens,
        )


@dataclass(frozen=True)
class Estimate:
    """What some calls would take, before they are made."""

    calls: int
    """Calls that are not finished yet."""
    finished: int
    """Calls whose answers are here already."""
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
        """Open the file.

        Args:
            path: JSON Lines of dollars, one change a line.
            budget: what the sum may not pass; None: anything.

        Raises:
            ResourceError: the folder is not writable.
        """
        self._path = path
        self._budget = math.inf if budget is None else budget
        self._read_to = 0
        self._spent = 0.0
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = path.open("a+b")

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
        """Keep other processes from writing, and know first what they have written."""
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        try:
            self._read()
            yield
        finally:
            fcntl.flock(self._stream, fcntl.LOCK_UN)

    def _read(self) -> None:
        """Count what was written since the last time, by whichever process."""
        self._stream.seek(self._read_to)
        for line in self._stream:
            if not line.endswith(b"\n"):  # a killed writer's; it may be any number
                self._stream.truncate(self._read_to)
                break
            self._spent += self._dollars(line)
            self._read_to += len(line)

    def _dollars(self, line: bytes) -> float:
        try:
            change = float(json.loads(line))
            if math.isfinite(change):
                return change
        except (ValueError, TypeError):
            pass
        self._stream.seek(0)
        number = 1 + self._stream.read(self._read_to).count(b"\n")
        raise ResourceError(
            f"{self._path}, line {number}: a number of dollars is required (seen: "
            f"{line.strip()[:40]!r}), so what was spent is not known. Correct the line, or remove "
            "it if it cost nothing."
        )

    def _write(self, change: float) -> None:
        line = json.dumps(change).encode() + b"\n"
        with explained_disk_errors(self._path):
            self._stream.write(line)
            self._stream.flush()
        self._spent += change
        self._read_to += len(line)

    def close(self) -> None:
        """Flush to the disk and close."""
        with explained_disk_errors(self._path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
