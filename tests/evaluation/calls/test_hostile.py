"""Any reply is survived: it is one failed or unreadable call, and memory stays flat."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.calls import hostile_server
from tests.evaluation.judges.cases import HARMFUL, items

from mixmerge.errors import UserError
from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec
from mixmerge.files import read_rows, write_rows
from mixmerge.records import Verdict

ROOT = Path(__file__).parents[3]
KEY = "sk-Marker+0123/4567"
SMALL = sorted(hostile_server.KINDS.keys() - {"bomb", "big", "chunked"})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve, and return the address without the kind."""
    command = [sys.executable, "-m", "tests.evaluation.calls.hostile_server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.communicate(timeout=60)


def judged(address: str, kind: str, folder: Path, **settings: Any) -> list[Verdict]:
    limits = {"attempts": 2, "timeout_seconds": 20, "longest_wait_seconds": 1} | settings
    spec = EndpointJudgeSpec(endpoint=f"{address}/{kind}", model="m", **limits)
    return EndpointJudge(spec, folder / "calls.jsonl").judge(items("x", "y"), HARMFUL)


@pytest.mark.parametrize("kind", SMALL)
def test_no_reply_does_more_than_fail(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Each is a verdict that a file can hold, or one message; its key is nowhere, and soon."""
    monkeypatch.setenv("HOSTILE_KEY", KEY)
    began, said = time.monotonic(), ""
    price = {"price": {"input": 1, "output": 2}, "budget": 5}
    try:
        verdicts = judged(address, kind, tmp_path, api_key_env="HOSTILE_KEY", **price)
    except UserError as error:
        said = str(error)
    else:
        write_rows(tmp_path / "verdicts.jsonl", verdicts)
        assert read_rows(tmp_path / "verdicts.jsonl", Verdict) == verdicts
        said = repr(verdicts)
        assert verdicts[0].outcome in {"unreadable", "error"}
    assert time.monotonic() - began < 15
    said += "".join(file.read_text() for file in tmp_path.iterdir())
    spellings = [KEY, "".join(f"%{ord(each):02X}" for each in KEY), KEY.encode().hex()]
    spellings += ["".join(f"&#{ord(each)};" for each in KEY)]
    spellings += ["".join(f"\\u{ord(each):04x}" for each in KEY), json.dumps(KEY)[1:-1]]
    assert not [each for each in spellings if each.casefold() in said.casefold()]
    assert not kind.startswith("key") or "[the key]" in said


def test_a_packed_reply_is_unpacked(address: str, tmp_path: Path) -> None:
    """A gzip within the limit is a reply like any other."""
    for kind in ("good", "gzip"):
        verdicts = judged(address, kind, tmp_path / kind)
        assert verdicts[0].reason == "VERDICT: A"


MEASURE = """
import sys, json, time
from pathlib import Path
from tests.evaluation.judges.cases import HARMFUL, items
from mixmerge.errors import UserError
from mixmerge.evaluation.calls import connection
from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec
connection._FUTILE = 10**9  # so that all calls are made
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
address, folder = sys.argv[1], Path(sys.argv[2])
spec = EndpointJudgeSpec(endpoint=address, model="m", attempts=1, timeout_seconds=300)
from mixmerge.evaluation.calls import rate_limit
rate_limit._FIRST = 100
before, began = peak(), time.monotonic()
asked = items(*(f"answer {n}" for n in range(100)))
verdicts = EndpointJudge(spec, folder / "calls.jsonl").judge(asked, HARMFUL)
assert {v.outcome for v in verdicts} == {"error"}, {v.reason for v in verdicts}
print(json.dumps([before, peak(), round(time.monotonic() - began, 1)]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bomb", "big", "chunked"])
def test_memory_stays_flat_with_a_hundred_in_flight(
    address: str, tmp_path: Path, kind: str
) -> None:
    """A hundred replies that unpack to 2 GB, or have 200 MB or 2 GB, take under 150 MB together."""
    command = [sys.executable, "-c", MEASURE, f"{address}/{kind}", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, after, seconds = json.loads(done.stdout)
    print(f"{kind}: {before} MB before, {after} MB at most, {seconds} s")  # noqa: T201
    assert after - before < 150
