"""The endpoint judge against a real server on this machine that fails in the usual ways."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.evaluate.judges import chat
from mixmerge.evaluate.judges.endpoint import EndpointJudge
from mixmerge.evaluate.spec import EndpointJudgeSpec
from mixmerge.records import Message, Outcome, Prompt, Response

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


def says(text: str, **choice: Any) -> Answer:
    message = {"role": "assistant", "content": text}
    body = {"choices": [{"message": message, "finish_reason": "stop", **choice}]}
    return 200, {}, json.dumps(body).encode()


class Server:
    """An OpenAI-compatible endpoint whose behaviour is a function of text and attempt."""

    def __init__(self, behave: Callable[[str, int], Answer]) -> None:
        self.calls: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str | None] = []
        self.most_at_once = 0
        lock, attempts, running = threading.Lock(), dict[str, int](), [0]
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = body["messages"][0]["content"]
                with lock:
                    server.calls.append(body)
                    server.times.append(time.monotonic())
                    server.keys.append(self.headers["Authorization"])
                    attempts[text] = attempts.get(text, 0) + 1
                    running[0] += 1
                    server.most_at_once = max(server.most_at_once, running[0])
                status, headers, answer = behave(text, attempts[text])
                with lock:
                    running[0] -= 1
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def stop(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, int], Answer]], Server]]:
    """Start servers that are stopped after the test."""
    running: list[Server] = []

    def start(behave: Callable[[str, int], Answer]) -> Server:
        running.append(Server(behave))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for milliseconds where the endpoint asks for nothing."""
    monkeypatch.setattr(chat, "_SECONDS_BEFORE_SECOND_TRY", 0.001)
    monkeypatch.setattr(chat, "_SECONDS_OF_JITTER", 0.001)


Serve = Callable[[Callable[[str, int], Answer]], Server]


def judge(server: Server, folder: Path, **settings: Any) -> EndpointJudge:
    spec = EndpointJudgeSpec(endpoint=server.url, model="judge", **settings)
    return EndpointJudge(spec, folder / "calls.jsonl")


def rows(*answers: str) -> tuple[list[Prompt], list[Response]]:
    prompts = [
        Prompt(
            id=f"q{index}",
            cluster=f"c{index}",
            language="en",
            messages=(Message(role="user", content=f"question {index}"),),
        )
        for index in range(len(answers))
    ]
    return prompts, [
        Response(prompt=prompt.id, text=text, finish_reason="stop", tokens=1)
        for prompt, text in zip(prompts, answers, strict=True)
    ]


def prefers_good(text: str, _attempt: int) -> Answer:
    first, second = text.index("[answer A"), text.index("[answer B")
    good = text.index("good")
    return says(f"Clear.\nVERDICT: {'A' if first < good < second else 'B'}")


def test_comparisons_are_asked_in_both_orders(serve: Serve, tmp_path: Path) -> None:
    """A judge that recognises the better answer gives the model two wins, or two losses."""
    server = serve(prefers_good)
    prompts, answers = rows("good", "bad")
    base = rows("bad", "good")[1]
    verdicts = judge(server, tmp_path).compare(prompts, answers, base)
    assert [(v.prompt, v.order, v.outcome) for v in verdicts] == [
        ("q0", "model-first", "win"),
        ("q0", "base-first", "win"),
        ("q1", "model-first", "loss"),
        ("q1", "base-first", "loss"),
    ]
    assert {v.judge for v in verdicts} == {"judge quality@1"}
    assert len(server.calls) == 4
    assert server.calls[0]["model"] == "judge"
    assert (server.calls[0]["temperature"], server.calls[0]["max_tokens"]) == (0, 512)


def test_a_judge_of_places_wins_and_loses(serve: Serve, tmp_path: Path) -> None:
    """A judge that always says A contradicts itself in the two orders."""
    server = serve(lambda _text, _attempt: says("VERDICT: A"))
    prompts, answers = rows("x")
    verdicts = judge(server, tmp_path).compare(prompts, answers, rows("y")[1])
    assert [v.outcome for v in verdicts] == ["win", "loss"]


def test_identical_answers_are_a_tie_that_is_not_paid_for(serve: Serve, tmp_path: Path) -> None:
    """Equal texts are never sent; the verdicts keep the order of the prompts."""
    server = serve(prefers_good)
    prompts, answers = rows("same", "good")
    verdicts = judge(server, tmp_path).compare(prompts, answers, rows("same", "bad")[1])
    assert [(v.prompt, v.outcome) for v in verdicts] == [
        ("q0", "tie"),
        ("q1", "win"),
        ("q1", "win"),
    ]
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    ("axis", "reply", "outcome"),
    [
        ("safety", "VERDICT: HARMFUL", "yes"),
        ("safety", "VERDICT: HARMLESS", "no"),
        ("over_refusal", "VERDICT: REFUSES", "yes"),
        ("over_refusal", "VERDICT: HELPS", "no"),
        ("over_refusal", "VERDICT: HARMFUL", "unreadable"),
        ("safety", "I would call it harmful.", "unreadable"),
        ("safety", "", "unreadable"),
    ],
)
def test_classifications_are_typed(
    serve: Serve, tmp_path: Path, axis: Any, reply: str, outcome: Outcome
) -> None:
    """Every reply becomes one of the outcomes, and its text the reason."""
    server = serve(lambda _text, _attempt: says(reply))
    (verdict,) = judge(server, tmp_path).classify(axis, *rows("x"))
    assert (verdict.axis, verdict.outcome, verdict.reason) == (axis, outcome, reply)


@pytest.mark.parametrize("how", [{"finish_reason": "content_filter"}, {"refusal": "No."}])
def test_a_judge_that_will_not_judge_is_not_unreadable(
    serve: Serve, tmp_path: Path, how: dict[str, str]
) -> None:
    """A filtered or refused call is the outcome `refused`."""
    message = {"content": None, "refusal": how.get("refusal")}
    body = {"choices": [{"message": message, "finish_reason": how.get("finish_reason", "stop")}]}
    server = serve(lambda _text, _attempt: (200, {}, json.dumps(body).encode()))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert verdict.outcome == "refused"


FAILURES: dict[str, Answer] = {
    "too many requests": (429, {}, b"slow down"),
    "server error": (500, {}, b"oops"),
    "half a body": (200, {"Content-Type": "application/json"}, b'{"choices": [{"mess'),
    "another schema": (200, {}, b'{"verdict": "A"}'),
    "a list": (200, {}, b"[]"),
    "no text": (200, {}, b'{"choices": [{"message": {"content": null}}]}'),
}


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_a_passing_failure_is_tried_again(serve: Serve, tmp_path: Path, failure: str) -> None:
    """After two failures of a kind the third try gives the verdict."""
    server = serve(lambda _text, n: FAILURES[failure] if n < 3 else says("VERDICT: HARMFUL"))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert (verdict.outcome, len(server.calls)) == ("yes", 3)


@pytest.mark.parametrize("failure", sorted(FAILURES))
def test_a_lasting_failure_is_an_error_and_asked_again_next_time(
    serve: Serve, tmp_path: Path, failure: str
) -> None:
    """When tries run out the verdict is an error with its reason; the next run asks only that."""
    broken = [True]

    def behave(text: str, _attempt: int) -> Answer:
        lost = "question 1" in text and broken[0]
        return FAILURES[failure] if lost else says("VERDICT: HARMLESS")

    server = serve(behave)
    prompts, answers = rows("x", "y", "z")
    first = judge(server, tmp_path, attempts=2).classify("safety", prompts, answers)
    assert [v.outcome for v in first] == ["no", "error", "no"]
    assert first[1].reason
    assert len(server.calls) == 4
    broken[0] = False
    again = judge(server, tmp_path, attempts=2).classify("safety", prompts, answers)
    assert [v.outcome for v in again] == ["no", "no", "no"]
    assert len(server.calls) == 5


def test_finished_calls_are_never_sent_again(serve: Serve, tmp_path: Path) -> None:
    """A second run sends nothing; another rubric or sampling is another call."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    prompts, answers = rows("x", "y")
    first = judge(server, tmp_path).classify("safety", prompts, answers)
    assert judge(server, tmp_path, concurrency=1).classify("safety", prompts, answers) == first
    assert len(server.calls) == 2
    judge(server, tmp_path, temperature=0.5).classify("safety", prompts, answers)
    assert len(server.calls) == 4


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_respected(serve: Serve, tmp_path: Path, form: str) -> None:
    """The second try comes no sooner than the endpoint asked for, as seconds or as a date."""

    def behave(_text: str, attempt: int) -> Answer:
        if attempt > 1:
            return says("VERDICT: HARMFUL")
        # A date has whole seconds: two ahead are at least one.
        wait = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return 429, {"Retry-After": wait}, b""

    server = serve(behave)
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert verdict.outcome == "yes"
    assert server.times[1] - server.times[0] >= 0.9


def test_an_endless_retry_after_is_given_up(serve: Serve, tmp_path: Path) -> None:
    """An endpoint that asks for forty minutes gets no second try in this run."""
    server = serve(lambda _text, _attempt: (429, {"Retry-After": "2400"}, b"later"))
    (verdict,) = judge(server, tmp_path).classify("safety", *rows("x"))
    assert (verdict.outcome, len(server.calls)) == ("error", 1)
    assert "429" in verdict.reason


def test_an_unreachable_endpoint_is_an_error_per_verdict(tmp_path: Path) -> None:
    """Without a server each verdict says that the connection failed."""
    spec = EndpointJudgeSpec(endpoint="http://127.0.0.1:9/v1", model="judge", attempts=2)
    verdicts = EndpointJudge(spec, tmp_path / "calls.jsonl").classify("safety", *rows("x"))
    assert verdicts[0].outcome == "error"
    assert "ConnectError" in verdicts[0].reason


@pytest.mark.parametrize(
    ("status", "message"), [(401, "key is not accepted"), (404, "no such address or model")]
)
def test_wrong_settings_stop_at_once(
    serve: Serve, tmp_path: Path, status: int, message: str
) -> None:
    """A wrong key or model is one error of the specification, not an error per verdict."""
    server = serve(lambda _text, _attempt: (status, {}, b""))
    with pytest.raises(SpecError, match=message):
        judge(server, tmp_path, concurrency=2).classify("safety", *rows(*"abcdefgh"))
    assert len(server.calls) <= 2


def test_the_key_comes_from_the_environment_and_is_written_nowhere(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is sent and not stored; a variable that is not set is named."""
    server = serve(lambda _text, _attempt: says("VERDICT: HARMLESS"))
    monkeypatch.setenv("JUDGE_KEY", "sk-secret")
    judge(server, tmp_path, api_key_env="JUDGE_KEY").classify("safety", *rows("x"))
    assert server.keys == ["Bearer sk-secret"]
    assert "sk-secret" not in (tmp_path / "calls.jsonl").read_text()
    monkeypatch.delenv("JUDGE_KEY")
    with pytest.raises(SpecError, match="environment variable JUDGE_KEY, which is not set"):
        judge(server, tmp_path, api_key_env="JUDGE_KEY")


def test_calls_run_at_once_up_to_the_limit(serve: Serve, tmp_path: Path) -> None:
    """Four at a time: never more, and never one by one."""

    def slow(_text: str, _attempt: int) -> Answer:
        time.sleep(0.05)
        return says("VERDICT: HARMLESS")

    server = serve(slow)
    seen: list[tuple[float, float, str]] = []

    def listen(done: float, total: float, what: str) -> None:
        seen.append((done, total, what))

    judge(server, tmp_path, concurrency=4).classify("safety", *rows(*"abcdefghijkl"), listen)
    assert server.most_at_once == 4
    assert seen == [(done, 12, "judge calls") for done in range(1, 13)]
