"""A newcomer with a data file of a common format: init, plan and mix, and not a row is lost."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mixmerge.cli.main import exit_code

ASKED = [(f"How many legs have {n} cats?", f"{4 * n} legs") for n in range(1, 61)]
WORSE = "No idea"
Rows = list[dict[str, Any]]


def turns(question: str, answer: str, *names: str) -> list[dict[str, str]]:
    role, content, user, assistant = names or ("role", "content", "user", "assistant")
    return [{role: user, content: question}, {role: assistant, content: answer}]


def lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: Rows) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*rows[0]])
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + stream.getvalue().encode()


def parquet(rows: Rows) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def zst(rows: Rows) -> bytes:
    packed: bytes = pa.compress(lines(rows), codec="zstd", asbytes=True)
    return packed


def rows(row: Callable[[str, str], dict[str, Any]]) -> Rows:
    return [row(question, answer) for question, answer in ASKED]


SYSTEM = {"role": "system", "content": "Be brief."}
ALPACA = rows(lambda q, a: {"instruction": "Answer.", "input": q, "output": a})
SCORED = rows(
    lambda q, a: {
        "instruction": q,
        "completions": [
            {"response": WORSE, "overall_score": 1.0},
            {"response": a, "overall_score": 9.0},
        ],
    }
)
KTO = rows(lambda q, a: {"prompt": q, "completion": a, "label": True})
FORMATS: dict[str, tuple[bytes, str]] = {
    "messages.jsonl": (lines(rows(lambda q, a: {"messages": turns(q, a)})), "chat: messages"),
    "system.jsonl.gz": (
        gzip.compress(lines(rows(lambda q, a: {"messages": [SYSTEM, *turns(q, a)]})), mtime=0),
        "chat: messages",
    ),
    "alpaca.json": (json.dumps(ALPACA).encode(), "Alpaca: instruction + input → output"),
    "alpaca.jsonl": (
        lines(ALPACA).replace(b"\n", b"\r\n"),
        "Alpaca: instruction + input → output",
    ),
    "sharegpt.jsonl": (
        lines(rows(lambda q, a: {"conversations": turns(q, a, "from", "value", "human", "gpt")})),
        "ShareGPT: conversations",
    ),
    "dpo.jsonl": (
        lines(rows(lambda q, a: {"prompt": q, "chosen": a, "rejected": WORSE})),
        "preference pairs: prompt → chosen rather than rejected",
    ),
    "dpo_lists.jsonl.zst": (
        zst(rows(lambda q, a: {"chosen": turns(q, a), "rejected": turns(q, WORSE)})),
        "preference pairs: chosen rather than rejected",
    ),
    "questions.csv": (
        table(rows(lambda q, a: {"question": q, "answer": a})),
        "question and answer: question → answer",
    ),
    "answers.parquet": (
        parquet(rows(lambda q, a: {"prompt": q, "answer": a})),
        "question and answer: prompt → answer",
    ),
    "completion.jsonl": (
        lines(rows(lambda q, a: {"prompt": q, "completion": a})),
        "prompt and completion: prompt → completion",
    ),
    "text.jsonl": (
        lines(rows(lambda q, a: {"text": f"User: {q}\nAssistant: {a}"})),
        "text with marked turns: text",
    ),
    "kto.jsonl": (lines(KTO), "KTO: prompt → completion, only where label is true"),
    "ultrafeedback.jsonl": (
        lines(SCORED),
        "several answers with scores: instruction → the best of completions rather than the worst",
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_becomes_a_study_and_a_mixture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` says how the file is read, `plan` accepts its study, and `mix` keeps every row."""
    monkeypatch.chdir(tmp_path)
    content, read_as = FORMATS[name]
    Path(name).write_bytes(content)
    assert exit_code(["init", "--data", f"legs={name}"]) == 0
    assert f"read as {read_as}; 60 rows" in capsys.readouterr().out
    assert exit_code(["plan", "study.yaml"]) == 0
    assert not Path("runs").exists() or not any(Path("runs").rglob("rows.jsonl"))

    study = yaml.safe_load(Path("study.yaml").read_text())
    pairs = "dpo" in study["training"]
    mixture = {"sources": study["data"], "shares": {"legs": 1}, "size": len(ASKED)}
    mixture["form"] = "preferences" if pairs else "conversations"
    Path("mixture.yaml").write_text(yaml.safe_dump(mixture))
    assert exit_code(["mix", "mixture.yaml", "out"]) == 0
    assert f"legs: read as {read_as}" in capsys.readouterr().out
    made = [json.loads(line) for line in Path("out/rows.jsonl").read_text().splitlines()]
    asked = "Answer.\n\n" if "alpaca" in name else ""
    assert {said(row, pairs=pairs) for row in made} == {(asked + q, a) for q, a in ASKED}
    assert len(made) == len(ASKED)
    system = [turn for row in made for turn in row.get("messages", []) if turn["role"] == "system"]
    assert len(system) == (60 if "system" in name else 0)

    prompts = [json.loads(line) for line in Path("study-eval/legs.jsonl").read_text().splitlines()]
    assert len(prompts) == 30
    assert {row["accepted"] for row in prompts} <= {answer for _, answer in ASKED}


def said(row: dict[str, Any], *, pairs: bool) -> tuple[str, str]:
    if pairs:
        assert row["rejected"] == WORSE
        return row["prompt"][-1]["content"], row["chosen"]
    return row["messages"][-2]["content"], row["messages"][-1]["content"]


def test_bad_answers_and_further_columns_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` chooses a training that learns from bad answers, and `mix` names what it drops."""
    monkeypatch.chdir(tmp_path)
    bad = [{"prompt": "Why?", "completion": WORSE, "label": False, "source": "web"}]
    Path("kto.jsonl").write_bytes(lines(KTO + bad))
    assert exit_code(["init", "--data", "kto.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "kto.jsonl: read as KTO: prompt → completion, good where label is true; 61 rows" in shown
    assert "method: kto" in Path("study.yaml").read_text()
    mixture = "sources: {kto: {files: kto.jsonl}}\nshares: {kto: 1}\nsize: 60\n"
    Path("mixture.yaml").write_text(mixture)
    assert exit_code(["mix", "mixture.yaml", "out"]) == 0
    shown = capsys.readouterr().out
    assert "kto: left out, `label` is false: not an answer to learn (1 rows)" in shown
