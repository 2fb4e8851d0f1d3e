"""A chat endpoint that is asked many things at once, and nothing twice."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from mixmerge.evaluation.calls.connection import key_from_environment
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.calls.run import Calls, Complaint, in_own_thread
from mixmerge.evaluation.calls.spending import LEDGER, CallSize, Estimate, Ledger, Tokens
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.journal import Journal
from mixmerge.progress import Progress, silent

Request = Mapping[str, Any]
"""A chat completion's body without the model: ``messages``, ``max_tokens``, ``temperature``, ..."""

Requests = Callable[[], Iterable[Request]]
"""Makes the requests, the same ones each time: thousands of texts need not be held."""


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
