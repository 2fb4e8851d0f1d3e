"""A chat endpoint: nothing is asked twice, and failures end in an answer or a reason."""

import asyncio
import json
import time
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer, Serve, Server, says

from mixmerge.durable import read_log
from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calls.endpoint import ChatEndpoint, Request
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.calls.spending import LEDGER
from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.journal import Journal
from mixmerge.progress import silent

PRICE = {"input": 1e6, "output": 1e6}
"""One dollar a token."""


def endpoint(server: Server, folder: Path, **settings: Any) -> ChatEndpoint:
    spec = EndpointSpec(endpoint=server.url, model="m", **settings)
    return ChatEndpoint(spec, folder / "calls.jsonl")


def request(text: str, **fields: Any) -> Request:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 5, **fields}


def ask(of: ChatEndpoint, texts: Sequence[str]) -> list[Reply]:
    return list(of.ask(lambda: map(request, texts)))


def echo(text: str, _attempt: int) -> Answer:
    return says(text.upper())


def counted(text: str, tokens: tuple[int, int]) -> Answer:
    """Answer with a count of tokens: sent, answered."""
    status, headers, body = says(text)
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return status, headers, json.dumps(json.loads(body) | {"usage": usage}).encode()


def test_replies_come_in_the_order_of_the_requests(serve: Serve, tmp_path: Path) -> None:
    """However long each takes; the same text twice is one call."""

    def behave(text: str, attempt: int) -> Answer:
        time.sleep(0.05 if text == "a" else 0)
        return echo(text, attempt)

    server = serve(behave)
    replies = ask(endpoint(server, tmp_path), ["a", "b", "a", "c"])
    assert [reply.text for reply in replies] == ["A", "B", "A", "C"]
    assert len(server.calls) == 3


def test_everything_that_is_sent_tells_calls_apart(serve: Serve, tmp_path: Path) -> None:
    """Text, sampling, model or a field of the specification: each makes another call."""
    server = serve(echo)
    for settings in ({}, {"fields": {"seed": 1}}, {}):
        ask(endpoint(server, tmp_path, **settings), ["a"])
    other = EndpointSpec(endpoint=server.url, model="other")
    ask(ChatEndpoint(other, tmp_path / "calls.jsonl"), ["a"])
    of = endpoint(server, tmp_path)
    list(of.ask(lambda: [request("a", temperature=1.0)]))
    assert [(c["model"], c.get("seed"), c.get("temperature")) for c in server.calls] == [
        ("m", None, None),
        ("m", 1, None),
        ("other", None, None),
        ("m", None, 1.0),
    ]


def test_a_field_can_be_replaced(serve: Serve, tmp_path: Path) -> None:
    """Null leaves a field out: some models want their limit under another name."""
    server = serve(echo)
    fields = {"max_tokens": None, "max_completion_tokens": 7}
    ask(endpoint(server, tmp_path, fields=fields), ["a"])
    assert "max_tokens" not in server.calls[0]
    assert server.calls[0]["max_completion_tokens"] == 7


def test_it_works_where_an_event_loop_runs(serve: Serve, tmp_path: Path) -> None:
    """As in a notebook."""
    server = serve(echo)

    async def notebook() -> list[Reply]:
        return ask(endpoint(server, tmp_path), ["a"])

    assert asyncio.run(notebook())[0].text == "A"


def test_answers_are_in_the_journal_as_they_come(serve: Serve, tmp_path: Path) -> None:
    """When the third call is made, the first is on disk: a kill loses only what is in flight."""
    lines: list[int] = []

    def behave(text: str, attempt: int) -> Answer:
        lines.append((tmp_path / "calls.jsonl").read_bytes().count(b"\n"))
        return echo(text, attempt)

    ask(endpoint(serve(behave), tmp_path, concurrency=1), ["a", "b", "c"])
    assert lines == [0, 1, 2]


def test_connections_are_kept(serve: Serve, tmp_path: Path) -> None:
    """Thirty calls, two at a time, take two connections."""
    server = serve(echo)
    ask(endpoint(server, tmp_path, concurrency=2), [str(i) for i in range(30)])
    assert len(server.connections) == 2


FAILURES: dict[str, Answer] = {
    "too many requests": (429, {}, b"slow down"),
    "quota of a minute": (429, {}, b"You exceeded your current quota, see your billing details."),
    "server error": (500, {}, b"oops"),
    "half a body": (200, {"Content-Type": "application/json"}, b'{"choices": [{"mess'),
    "another schema": (200, {}, b'{"verdict": "A"}'),
    "a list": (200, {}, b"[]"),
    "nothing": (200, {}, b""),
    "no text": (200, {}, b'{"choices": [{"message": {"content": null}}]}'),
}


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_a_passing_failure_is_tried_again(serve: Serve, tmp_path: Path, failure: str) -> None:
    """After two failures of a kind the third try gives the answer."""
    server = serve(lambda _text, n: FAILURES[failure] if n < 3 else says("yes"))
    (reply,) = ask(endpoint(server, tmp_path), ["a"])
    assert (reply.text, reply.error, len(server.calls)) == ("yes", None, 3)


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_a_lasting_failure_is_asked_again_by_the_next_run(
    serve: Serve, tmp_path: Path, failure: str
) -> None:
    """When tries run out the reply has a reason; the next run asks only that call."""
    broken = [True]

    def behave(text: str, _attempt: int) -> Answer:
        return FAILURES[failure] if text == "b" and broken[0] else says("yes")

    server = serve(behave)
    first = ask(endpoint(server, tmp_path, attempts=2), ["a", "b", "c"])
    assert [bool(reply.error) for reply in first] == [False, True, False]
    assert len(server.calls) == 4
    broken[0] = False
    again = ask(endpoint(server, tmp_path, attempts=2), ["a", "b", "c"])
    assert [reply.error for reply in again] == [None] * 3
    assert len(server.calls) == 5


def test_a_call_that_takes_too_long_is_tried_again(serve: Serve, tmp_path: Path) -> None:
    """The time-out is for one try."""

    def behave(_text: str, attempt: int) -> Answer:
        time.sleep(0.6 if attempt == 1 else 0)
        return says("yes")

    server = serve(behave)
    (reply,) = ask(endpoint(server, tmp_path, timeout_seconds=0.2), ["a"])
    assert (reply.text, len(server.calls)) == ("yes", 2)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_respected(serve: Serve, tmp_path: Path, form: str) -> None:
    """No call is sent sooner than the endpoint asked for, as seconds or as a date."""

    def behave(text: str, attempt: int) -> Answer:
        if text == "b" or attempt > 1:
            return says("yes")
        # A date has whole seconds: two ahead are at least one.
        wait = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return 429, {"Retry-After": wait}, b""

    server = serve(behave)
    ask(endpoint(server, tmp_path, concurrency=1), ["a", "b"])
    assert len(server.calls) == 3
    assert server.times[1] - server.times[0] >= 0.9


def test_an_endless_retry_after_is_given_up(serve: Serve, tmp_path: Path) -> None:
    """A call for which the endpoint asks forty minutes gets no second try in this run."""
    server = serve(lambda _text, _attempt: (429, {"Retry-After": "2400"}, b"later"))
    (reply,) = ask(endpoint(server, tmp_path), ["a"])
    assert (reply.error, len(server.calls)) == ("status 429: later", 1)


def test_a_deadline_ends_the_whole(serve: Serve, tmp_path: Path) -> None:
    """What was answered counts; the rest has its reason and is asked by the next run."""

    def behave(text: str, attempt: int) -> Answer:
        time.sleep(0.1)
        return echo(text, attempt)

    server = serve(behave)
    texts = [str(number) for number in range(30)]
    limited = endpoint(server, tmp_path, concurrency=2, deadline_seconds=0.5)
    began = time.monotonic()
    replies = ask(limited, texts)
    assert time.monotonic() - began < 1.5
    late = [reply.error for reply in replies if reply.error]
    assert 1 <= len(late) < 30
    assert "deadline" in late[-1]
    assert all(reply.error is None for reply in ask(endpoint(server, tmp_path), texts))


def test_a_minute_has_only_so_many_requests(serve: Serve, tmp_path: Path) -> None:
    """Ten a second: five calls take at least four tenths of a second."""
    server = serve(echo)
    began = time.monotonic()
    ask(endpoint(server, tmp_path, requests_per_minute=600), list("abcde"))
    assert server.times[-1] - began >= 0.4


def test_two_processes_do_not_share_a_journal(serve: Serve, tmp_path: Path) -> None:
    """While one writes, another is told to wait, and sends nothing."""
    server = serve(echo)
    with (
        Journal(tmp_path / "calls.jsonl"),
        pytest.raises(ResourceError, match="another process is writing"),
    ):
        ask(endpoint(server, tmp_path), ["a"])
    assert server.calls == []


def test_a_budget_is_never_passed_and_can_be_raised(serve: Serve, tmp_path: Path) -> None:
    """Calls stop while the next one could pass it; a higher budget asks only what is missing."""
    server = serve(lambda _text, _n: counted("yes", (20, 5)))
    texts = [f"{number:04}" for number in range(40)]
    # A call takes 25 dollars and may take 4 + 100 + 5.
    spec: dict[str, Any] = {"price": PRICE, "concurrency": 3}
    with pytest.raises(ResourceError, match=r"budget of \$300.* asks only what is missing"):
        ask(endpoint(server, tmp_path, budget=300, **spec), texts)
    assert len(server.calls) == (300 - 109) // 25 + 1
    with pytest.raises(ResourceError, match=r"budget of \$300"):
        ask(endpoint(server, tmp_path, budget=300, **spec), texts)
    assert len(server.calls) == (300 - 109) // 25 + 1
    replies = ask(endpoint(server, tmp_path, budget=1200, **spec), texts)
    assert {reply.text for reply in replies} == {"yes"}
    assert len(server.calls) == 40
    spent = sum(read_log(tmp_path / LEDGER))
    assert spent == pytest.approx(40 * 25)


def test_failures_that_may_be_charged_are_counted(serve: Serve, tmp_path: Path) -> None:
    """A try whose answer was cut off counts as estimated; a refused one counts nothing."""
    answers = [(500, {}, b""), (200, {}, b"{"), counted("yes", (20, 5))]
    server = serve(lambda _text, n: answers[n - 1])
    ask(endpoint(server, tmp_path, price=PRICE), ["abcdef"])
    spent = sum(read_log(tmp_path / LEDGER))
    assert spent == pytest.approx(0 + (2 + 5) + 25)


def test_useless_replies_stop_before_the_rest_is_paid_for(serve: Serve, tmp_path: Path) -> None:
    """Ten in a row and none of use before: the first is shown. One of use, and all are made."""
    texts = [str(number) for number in range(40)]

    def useless(reply: Reply) -> str | None:
        return None if reply.text == "5" else f"{reply.text} is of no use"

    server = serve(echo)
    of = endpoint(server, tmp_path, concurrency=1)
    with pytest.raises(SpecError, match=r"none of the first 10 replies .* first: 10 is of no use"):
        list(of.ask(lambda: map(request, texts[10:]), complaint=useless))
    assert len(server.calls) == 10
    assert len(list(of.ask(lambda: map(request, texts), complaint=useless))) == 40


def test_progress_starts_with_what_is_ahead(serve: Serve, tmp_path: Path) -> None:
    """Before the first call a listener knows how many there are and what they may cost."""
    server = serve(echo)
    heard: list[tuple[float, float, str]] = []

    def listen(done: float, total: float, what: str) -> None:
        heard.append((done, total, what))

    of = endpoint(server, tmp_path, price={"input": 10.0, "output": 1.0})
    list(of.ask(lambda: [request("x" * 300_000)], listen, what="answers"))
    assert [(done, total) for done, total, _ in heard] == [(0, 1), (1, 1)]
    assert {what for _, _, what in heard} == {"answers (up to about 0.10 M tokens, $1.00)"}
    heard.clear()
    list(of.ask(lambda: [request("x" * 300_000)], listen))
    assert not heard


def test_a_listener_that_fails_stops_the_calls(serve: Serve, tmp_path: Path) -> None:
    """Its error arrives unchanged, and what was answered before is kept."""
    server = serve(echo)

    def fail(done: float, total: float, what: str) -> None:  # noqa: ARG001
        if done == 2:
            raise RuntimeError("enough")

    of = endpoint(server, tmp_path, concurrency=1)
    with pytest.raises(RuntimeError, match="enough"):
        list(of.ask(lambda: map(request, "abcd"), fail))
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 2
    assert [r.text for r in of.ask(lambda: map(request, "abcd"), silent)] == list("ABCD")
