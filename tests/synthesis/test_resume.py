"""A generation that is killed again and again: nothing is lost, and nothing is asked twice."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Answer
from tests.synthesis.conftest import Model
from tests.synthesis.generating_client import IN_FLIGHT

from mixmerge.durable import read_log
from mixmerge.synthesis.row import ROWS

SEEDS = 12
CALLS = SEEDS * (1 + 3 + 6 * 2 + 6)
"""Each seed: one question for three prompts, three translations, six prompts answered twice, and
one answer to avoid for each."""
KILLS = 3
ROOT = Path(__file__).parents[2]


def client(url: str, seeds: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.synthesis.generating_client", url]
    return subprocess.Popen([*command, str(seeds), str(out)], cwd=ROOT)


@pytest.mark.slow
def test_a_killed_generation_goes_on_where_it_stopped(model: Model, tmp_path: Path) -> None:
    """At most the calls in flight are asked again, faults included; the rows are the same bytes."""
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"prompt": f"seed {n}"}) + "\n" for n in range(SEEDS)))

    def slow(body: dict[str, Any], attempt: int) -> Answer | None:
        time.sleep(0.02)
        return (500, {}, b"later") if attempt == 1 and len(json.dumps(body)) % 5 == 0 else None

    quiet, killed = model(), model(slow)
    with client(quiet.url, seeds, tmp_path / "quiet") as whole:
        assert whole.wait(120) == 0
    asked_again = 0
    for kill in range(1, KILLS + 1):
        with client(killed.url, seeds, tmp_path / "killed") as process:
            try:
                while len(killed.calls) < kill * CALLS // (KILLS + 1) and process.poll() is None:
                    time.sleep(0.01)
            finally:
                process.kill()
        asked_again += IN_FLIGHT
    with client(killed.url, seeds, tmp_path / "killed") as last:
        assert last.wait(120) == 0
    rows = [(tmp_path / name / ROWS).read_bytes() for name in ("quiet", "killed")]
    assert rows[0] == rows[1]
    assert len(quiet.calls) == CALLS
    keys = Counter(key for key, _ in read_log(tmp_path / "killed" / "calls" / "model-m.jsonl"))
    assert len(keys) == CALLS
    assert set(keys.values()) == {1}
    faults = sum(len(text) % 5 == 0 for text in {json.dumps(body) for body in killed.calls})
    assert CALLS <= len(killed.calls) - faults <= CALLS + asked_again
