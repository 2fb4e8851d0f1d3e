"""The server of a task: what it keeps, what it refuses, and that nothing else can be read."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.annotation.conftest import Make, material

from mixmerge.annotation.server import serving
from mixmerge.annotation.task import KEY, LABELS, KeyItem
from mixmerge.durable import read_log
from mixmerge.errors import HeldError, ResourceError, SpecError
from mixmerge.files import read_rows

JSON = "application/json"


class Client:
    """Requests to a server of one task folder."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self._stack = ExitStack()
        server, self.addresses = self._stack.enter_context(serving(folder, host=host))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stack.callback(server.shutdown)
        self.port = server.server_port
        self.path = urlsplit(self.addresses["anna"]).path

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        host: str = "127.0.0.1",
        kind: str = JSON,
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = None if body is None else json.dumps(body).encode()
        connection.request(
            "GET" if body is None else "POST", path, sent, {"Host": host, "Content-Type": kind}
        )
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def folder(task: Make) -> Path:
    """A task of one annotator."""
    return task([material("harm", 6)], "anna", "ben")


@pytest.fixture
def client(folder: Path) -> Iterator[Client]:
    """A client of a server on loopback."""
    started = Client(folder)
    yield started
    started.close()


def label(folder: Path, place: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a label of one of anna's items."""
    item = [row for row in read_rows(folder / KEY, KeyItem) if row.annotator == "anna"][place]
    row = {"id": item.id, "shown": item.shown, "choice": "yes", "severity": 2}
    row |= {"seconds": 3.5, "at": "2026-01-01T10:00:00Z", "device": "one"}
    return row | changes


def test_a_label_is_on_disk_before_it_is_acknowledged(folder: Path, client: Client) -> None:
    """The journal has the row, and the page gets it back; the last choice of an item counts."""
    assert client.ask("/anna/labels", label(folder))[0] == 200
    assert client.ask("/anna/labels", label(folder, choice="no", severity=None))[0] == 200
    kept = list(read_log(folder / LABELS / "anna.jsonl"))
    assert [row["choice"] for row in kept] == ["yes", "no"]
    status, body = client.ask("/anna/labels")
    assert status == 200
    assert [row["choice"] for row in json.loads(body)["labels"]] == ["no"]
    assert json.loads(client.ask("/ben/labels")[1]) == {"labels": []}


def test_two_people_with_one_name_are_told_apart(folder: Path, client: Client) -> None:
    """A second browser is refused until its user says to be the same person."""
    assert client.ask("/anna/labels", label(folder))[0] == 200
    other = label(folder, 1, device="two")
    assert client.ask("/anna/labels", other) == (409, b'{"refused": "device"}')
    assert client.ask("/anna/labels", other | {"take": True})[0] == 200
    assert client.ask("/anna/labels", label(folder, 2))[0] == 409


def test_a_second_browser_is_refused_after_a_restart_too(folder: Path) -> None:
    """The journal says whose browser it was."""
    first = Client(folder)
    assert first.ask("/anna/labels", label(folder))[0] == 200
    first.close()
    second = Client(folder)
    assert second.ask("/anna/labels", label(folder, 1, device="two"))[0] == 409
    assert second.ask("/anna/labels", label(folder, 1))[0] == 200
    second.close()


@pytest.mark.parametrize(
    "changes",
    [{"choice": "A"}, {"severity": 9}, {"shown": None}, {"device": ""}, {"model": "x"}],
    ids=str,
)
def test_what_is_no_label_is_refused(folder: Path, client: Client, changes: dict[str, Any]) -> None:
    """Nothing of it is kept, and the reply says why."""
    status, body = client.ask("/anna/labels", label(folder, **changes))
    assert status == 400
    assert next(iter(changes)) in json.loads(body)["refused"]
    assert not (folder / LABELS / "anna.jsonl").exists()


def test_a_label_for_other_texts_is_refused(folder: Path, client: Client) -> None:
    """A page of an earlier task has other hashes."""
    assert client.ask("/anna/labels", label(folder, shown="0" * 16))[0] == 409


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/key.jsonl",
        "/anna",
        "/anna/../key.jsonl",
        "/anna/%2e%2e/%2e%2e/key.jsonl",
        "/..%2fkey.jsonl",
        "//etc/passwd",
        "/anna/labels/..",
        "/cara/",
        "/pages/anna/index.html",
    ],
)
def test_there_is_no_way_out(client: Client, path: str) -> None:
    """Only pages and labels have addresses."""
    assert client.ask(path) == (404, b"")


def test_other_sites_cannot_read_or_write(folder: Path, client: Client) -> None:
    """A name that leads here is no address, and what a form can send is no label."""
    assert client.ask("/anna/", host="evil.example")[0] == 404
    assert client.ask("/anna/labels", label(folder), host="evil.example:80")[0] == 404
    assert client.ask("/anna/labels", label(folder), kind="text/plain")[0] == 400
    assert client.ask("/anna/labels", "x" * 100_000)[0] == 400


def test_another_host_needs_a_token(folder: Path) -> None:
    """Without the token of the link there is nothing, with it any name of the host will do."""
    client = Client(folder, host="0.0.0.0")  # noqa: S104 (meant)
    assert len(client.path) > len("/anna/") + 20
    assert client.ask("/anna/")[0] == 404
    assert client.ask(client.path, host="my-machine:80")[0] == 200
    assert client.ask(f"{client.path}labels", label(folder))[0] == 200
    client.close()


@pytest.mark.usefixtures("client")
def test_one_server_at_a_time(folder: Path) -> None:
    """A second one is refused, and so is a folder without a task."""
    with pytest.raises(HeldError, match="another process"), serving(folder):
        pass
    with pytest.raises(SpecError, match=r"no task\.json"), serving(folder.parent):
        pass


def test_a_taken_port_is_said(folder: Path, task: Make) -> None:
    """The message names the port and what to do."""
    taken = Client(folder)
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    task([material("harm", 6)])
    with (
        pytest.raises(ResourceError, match=f"--port {taken.port}: cannot listen"),
        serving(folder, port=taken.port),
    ):
        pass
    taken.close()
    assert elsewhere.is_dir()
