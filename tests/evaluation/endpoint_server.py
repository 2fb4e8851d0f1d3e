"""A real OpenAI-compatible server on this machine whose behaviour a test decides."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mixmerge.evaluation.calls import endpoint

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""


def says(text: str, **choice: Any) -> Answer:
    message = {"role": "assistant", "content": text}
    body = {"choices": [{"message": message, "finish_reason": "stop", **choice}]}
    return 200, {}, json.dumps(body).encode()


def first_message(body: dict[str, Any]) -> str:
    text: str = body["messages"][0]["content"]
    return text


class Server:
    """An OpenAI-compatible endpoint whose behaviour is a function of text and attempt.

    ``read`` returns what of a request is the text: by default its first message.
    """

    def __init__(
        self,
        behave: Callable[[str, int], Answer],
        read: Callable[[dict[str, Any]], str] = first_message,
    ) -> None:
        self.calls: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.connections: set[tuple[str, int]] = set()
        self.most_at_once = 0
        lock, attempts, running = threading.Lock(), dict[str, int](), [0]
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                text = read(body)
                with lock:
                    server.calls.append(body)
                    server.times.append(time.monotonic())
                    server.keys.append(self.headers["Authorization"])
                    server.paths.append(self.path)
                    server.headers.append(dict(self.headers))
                    server.connections.add(self.client_address)
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
                with contextlib.suppress(OSError):  # a client that is gone
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
    monkeypatch.setattr(endpoint, "FIRST_BACK_OFF", 0.001)


Serve = Callable[[Callable[[str, int], Answer]], Server]
