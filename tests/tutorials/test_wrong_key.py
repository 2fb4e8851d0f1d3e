"""A newcomer's key or endpoint is wrong: the run says so, and what to do, before it trains."""

import json
import time
from pathlib import Path

import pytest
from tests.evaluation.endpoint_server import Answer, Serve, says, serve
from tests.tutorials.commands import mixmerge

__all__ = ["serve"]
STUDY = """\
study: mine
base: testbed
data:
  chats: {files: chats.jsonl}
mixtures:
  all: {size: 16, shares: {chats: 1}}
training:
  sft: {method: sft, batch_size: 16}
checkpoints:
  tuned: {train: sft, mixture: all}
evaluate:
  axes:
    good:
      prompts: {files: questions.jsonl}
      judge: {endpoint: "URL", model: a-judge, api_key_env: MY_KEY, structured: never}
      measure: {rate: correct}
  decoding: {max_new_tokens: 4}
  draws: 1000
"""
SECONDS = 60
"""Far less than what comes before the judge without a preflight."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with data of one's own."""
    chats = [{"prompt": f"{n} + 1?", "answer": f"{n + 1}"} for n in range(16)]
    questions = [{"prompt": f"{n} + 2?", "accepted": f"{n + 2}"} for n in range(30)]
    for name, rows in (("chats", chats), ("questions", questions)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def study(folder: Path, url: str) -> str:
    """Write the study with a judge at an address."""
    (folder / "mine.yaml").write_text(STUDY.replace("URL", url))
    return "mine.yaml"


def guarded(_text: str, _attempt: int) -> Answer:
    """Refuse every key."""
    return 401, {}, b'{"error": {"message": "Incorrect API key provided"}}'


def test_a_key_that_is_not_set(folder: Path) -> None:
    """`plan` shows the line and the command to set it; `run` ends at once with the same words."""
    file = study(folder, "http://127.0.0.1:9/v1")
    where = "mine.yaml, line 15: evaluate.axes.good.judge.api_key_env"
    for command in ("plan", "run"):
        code, said = mixmerge(folder, command, file)
        text = " ".join(said.split())
        assert where in text
        assert "`export MY_KEY=…` before the run" in text
        assert code == (2 if command == "run" else 0)
        assert "Traceback" not in said
    assert not list(folder.glob("runs/mine/*/*-????????"))


def test_a_key_that_is_refused(folder: Path, serve: Serve) -> None:
    """One token is asked of the judge before anything is trained; the key is in no message."""
    server = serve(guarded)
    began = time.monotonic()
    code, said = mixmerge(folder, "run", study(folder, server.url), MY_KEY="sk-secret-1234")
    assert time.monotonic() - began < SECONDS
    assert code == 2
    assert "the key is not accepted" in said
    assert "Check `endpoint`, `model` and `api_key_env`" in said
    assert "sk-secret-1234" not in said
    assert len(server.calls) <= 2
    assert not list(folder.glob("runs/mine/*/*-????????"))


def test_an_endpoint_that_cannot_be_reached(folder: Path) -> None:
    """The address is named with what to check, and no dollar is booked."""
    code, said = mixmerge(folder, "run", study(folder, "http://127.0.0.1:9/v1"), MY_KEY="k")
    assert code == 2
    assert "127.0.0.1:9/v1/chat/completions cannot be reached" in said
    assert "that the server is running" in said
    assert "spent" not in said
    assert not list(folder.glob("runs/mine/*/*-????????"))


def test_a_model_that_is_not_there(folder: Path, serve: Serve) -> None:
    """The name of the judge is checked, too."""
    missing = b'{"error": {"message": "The model a-judge does not exist"}}'
    server = serve(lambda _text, _attempt: (404, {}, missing))
    code, said = mixmerge(folder, "run", study(folder, server.url), MY_KEY="k")
    assert code == 2
    assert "for the model 'a-judge'" in said


def test_the_question_can_be_left_out(folder: Path, serve: Serve) -> None:
    """With `--no-probe` the endpoint is not asked before its turn."""
    server = serve(guarded)
    file = study(folder, server.url)
    only = ("--only", "mix/all-chats")
    assert mixmerge(folder, "run", file, "--no-probe", *only, MY_KEY="k")[0] == 0
    assert mixmerge(folder, "plan", file, MY_KEY="k")[0] == 0
    assert server.calls == []
    code, said = mixmerge(folder, "plan", file, "--probe", MY_KEY="k")
    assert code == 0
    assert "the key is not accepted" in " ".join(said.split())


def test_with_the_right_key_the_same_command_goes_on(folder: Path, serve: Serve) -> None:
    """It trains, judges and reports; what it cost nothing for is not asked twice."""
    server = serve(lambda text, _: says("yes" if "one word" in text else "VERDICT: RIGHT"))
    file = study(folder, server.url)
    assert mixmerge(folder, "run", file)[0] == 2
    code, said = mixmerge(folder, "run", file, "--workers", "2", MY_KEY="k")
    assert code == 0, said
    assert (folder / "runs" / "mine" / "report.html").is_file()
    assert "10 steps: 10 done." in said
    code, said = mixmerge(folder, "status", "runs/mine")
    assert code == 0
    assert "waiting" not in said
