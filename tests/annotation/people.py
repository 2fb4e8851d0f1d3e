"""People who label as a browser does: from what their page holds, and over its connection."""

import json
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 1, 1, tzinfo=UTC)
Reads = Callable[[str, list[str]], str]
"""Returns a choice for a question and the texts of an item."""


@contextmanager
def served(folder: Path, names: int, port: int = 0) -> Iterator[tuple[dict[str, str], Any]]:
    """Run the server as a program of its own; yield the links by name, and its process."""
    command = [sys.executable, "-m", "mixmerge", "annotate", "serve", str(folder)]
    with subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True
    ) as process:
        # A server that says too little must not keep the test waiting.
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(names)]
            yield dict(line.strip().split(": ", 1) for line in lines), process
        finally:
            watchdog.cancel()
            process.kill()


def labels_of(page: str, reads: Reads) -> dict[str, Any]:
    """Return the file of labels that a person makes of a page."""
    data = json.loads(page.split('id="data">')[1].split("</script>", maxsplit=1)[0])
    labels = []
    for place, item in enumerate(data["items"]):
        question = data["questions"][item["question"]]
        told = re.search("Please choose “(.+?)”", item["texts"][0])
        words = {words: choice for choice, words in question["choices"]}
        choice = words[told[1]] if told else reads(question["text"], item["texts"])
        labels.append(
            {
                "id": item["id"],
                "shown": item["shown"],
                "choice": choice,
                "severity": 2 if question["severity"] and choice == "yes" else None,
                "seconds": 9 + place % 5,
                "at": (START + timedelta(seconds=10 * place)).isoformat(),
                "device": data["annotator"],
            }
        )
    return {"task": data["task"], "annotator": data["annotator"], "labels": labels}


def label_online(address: str, reads: Reads) -> None:
    """Label a whole page of a server."""
    with urllib.request.urlopen(address, timeout=30) as reply:  # noqa: S310 (loopback)
        page = reply.read().decode()
    for label in labels_of(page, reads)["labels"]:
        assert _post(f"{address}labels", label) == {}


def _post(address: str, body: Mapping[str, Any]) -> Any:
    asked = urllib.request.Request(  # noqa: S310 (loopback)
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=30) as reply:  # noqa: S310 (loopback)
        return json.loads(reply.read())
