"""Serve a task folder's pages, and keep each label before saying so.

The server answers to a fixed list of addresses and never looks for a file by a part of one, so
there is no way out of its folder.
"""

import json
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import ValidationError

from mixmerge.annotation.task import LABELS, PAGES, GivenLabel, read_task
from mixmerge.durable import Log, claimed, read_log
from mixmerge.errors import ResourceError
from mixmerge.files import first_problem

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LARGEST = 65_536
"""Bytes of a posted label."""
_POLICY = "default-src 'none'; frame-ancestors 'none'"
_SECONDS_TO_START = 2.0


class Desk:
    """The pages and the journals of labels of a task."""

    def __init__(self, folder: Path) -> None:
        plan, items = read_task(folder)
        self._shown = {(item.annotator, item.id): item.shown for item in items}
        self._lock = threading.Lock()
        self._folder = folder
        self.annotators = list(plan.annotators)
        self._journals = {name: folder / LABELS / f"{name}.jsonl" for name in self.annotators}
        self._devices = {name: self._last_device(name) for name in self.annotators}

    def page(self, annotator: str) -> bytes:
        """Return an annotator's page."""
        return (self._folder / PAGES / annotator / "index.html").read_bytes()

    def given(self, annotator: str) -> list[Any]:
        """Return the labels that an annotator has given, the last one for each item."""
        return list({row["id"]: row for row in read_log(self._journals[annotator])}.values())

    def keep(self, annotator: str, body: Any) -> tuple[HTTPStatus, str]:
        """Write a label to disk; return a status, and why it was refused.

        A second browser under the same name is refused until its user says to be the same person.
        """
        take = isinstance(body, dict) and body.pop("take", False) is True
        try:
            label = GivenLabel.model_validate(body)
        except ValidationError as error:
            return HTTPStatus.BAD_REQUEST, first_problem(error)
        if self._shown.get((annotator, label.id)) != label.shown:
            return HTTPStatus.CONFLICT, "changed"
        with self._lock:
            if self._devices[annotator] not in ("", label.device) and not take:
                return HTTPStatus.CONFLICT, "device"
            with closing(Log(self._journals[annotator])) as log:
                log.append(label.model_dump(mode="json"))
                log.sync()
            self._devices[annotator] = label.device
        return HTTPStatus.OK, ""

    def _last_device(self, annotator: str) -> str:
        rows = list(read_log(self._journals[annotator]))
        return str(rows[-1]["device"]) if rows else ""


@contextmanager
def serving(
    folder: Path, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[tuple["_Server", Mapping[str, str]]]:
    """Bind a server for a task folder; yield it with the address of each annotator's page.

    Any host but a loopback address gets a random token, without which no address exists.

    Raises:
        SpecError: the folder is not a task folder.
        HeldError: another server has it.
        ResourceError: the port is taken.
    """
    desk = Desk(folder)
    local = host in LOOPBACK
    prefix = "" if local else f"/{secrets.token_urlsafe(16)}"
    with claimed(folder / ".lock", "task", patience=_SECONDS_TO_START):
        try:
            server = _Server((host, port), desk, prefix, local=local)
        except OSError as error:
            raise ResourceError(
                f"--host {host} --port {port}: cannot listen there ({error.strerror}). "
                "Choose another port; 0 is any free one."
            ) from error
        with closing(server.socket):
            at = f"http://{host}:{server.server_port}{prefix}"
            yield server, {name: f"{at}/{quote(name)}/" for name in desk.annotators}


class _Server(ThreadingHTTPServer):
    """A server of one task."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], desk: Desk, prefix: str, *, local: bool) -> None:
        super().__init__(address, _Handler)
        self.desk, self.prefix, self.local = desk, prefix, local

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away; its page sends the label again."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers for the pages (GET) and the labels (GET, POST) of the annotators."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    @property
    def _desk(self) -> Desk:
        return self.server.desk

    def do_GET(self) -> None:
        """Send a page, or the labels given so far."""
        name, rest = self._asked()
        if name is None:
            self._reply(HTTPStatus.NOT_FOUND, b"", "text/plain")
        elif rest == "labels":
            self._send(HTTPStatus.OK, {"labels": self._desk.given(name)})
        else:
            self._reply(HTTPStatus.OK, self._desk.page(name), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Keep a label."""
        name, rest = self._asked()
        size = self.headers.get("Content-Length", "")
        # Another site's page can post text, but not JSON without asking first (CORS).
        plain = self.headers.get("Content-Type", "") == "application/json"
        if not size.isdecimal() or int(size) > _LARGEST or not plain:
            self.close_connection = True
            self._send(HTTPStatus.BAD_REQUEST, {"refused": "not a label"})
            return
        body = self.rfile.read(int(size))
        if name is None or rest != "labels":
            self._reply(HTTPStatus.NOT_FOUND, b"", "text/plain")
            return
        try:
            status, why = self._desk.keep(name, json.loads(body))
        except ValueError:
            status, why = HTTPStatus.BAD_REQUEST, "not JSON"
        except ResourceError as error:
            status, why = HTTPStatus.INSUFFICIENT_STORAGE, str(error)
        self._send(status, {"refused": why} if why else {})

    def _asked(self) -> tuple[str | None, str]:
        """Return whose address was asked for, and what of it; None if there is none."""
        prefix, local = self.server.prefix, self.server.local
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        path = unquote(urlsplit(self.path).path)
        # A name that leads to this machine must not let another site's page read answers.
        if (local and host not in LOOPBACK) or not path.startswith(f"{prefix}/"):
            return None, ""
        name, _, rest = path.removeprefix(f"{prefix}/").partition("/")
        known = name in self._desk.annotators and rest in ("", "index.html", "labels")
        return (name, rest) if known and path != f"{prefix}/{name}" else (None, "")

    def _send(self, status: HTTPStatus, value: Any) -> None:
        self._reply(status, json.dumps(value).encode(), "application/json")

    def _reply(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        if not kind.startswith("text/html"):  # the page states its own
            self.send_header("Content-Security-Policy", _POLICY)
        else:
            self.send_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: addresses have a token in them."""
