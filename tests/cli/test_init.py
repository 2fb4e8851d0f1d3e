"""Tests of mixmerge.cli.init and of the studies that it writes."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mixmerge.cli.main import exit_code
from mixmerge.study.starter import write
from mixmerge.testbed.model import write_model


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder of a machine without a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, "gpus", list[tuple[str, float]])


def rows(name: str, count: int = 100, **more: Any) -> Path:
    path = Path(f"{name}.jsonl")
    made = [{"prompt": f"{name} {n}?", "answer": f"{n}"} | more for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def study(path: str = "study.yaml") -> dict[str, Any]:
    text = Path(path).read_text()
    assert 15 <= len(text.splitlines()) <= 45
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def accepted(*arguments: str) -> dict[str, Any]:
    """Run `init` and then `plan` on what it wrote."""
    assert exit_code(["init", *arguments]) == 0
    assert exit_code(["plan", "study.yaml"]) == 0
    return study()


def test_data_files_become_experts_a_mix_and_merges(capsys: pytest.CaptureFixture[str]) -> None:
    """Each file has an expert and an axis of held-out rows; the mix is the baseline."""
    rows("chat"), rows("code")
    read = accepted("--data", "chat.jsonl", "--data", "code=code.jsonl")
    assert {*read["checkpoints"]} == {"chat", "code", "mix", "slerp", "ties"}
    assert read["evaluate"]["baseline"] == "mix"
    assert {mixture["size"] for mixture in read["mixtures"].values()} == {70}
    assert "languages" not in read
    assert read["base"] == "testbed"
    shown = capsys.readouterr().out
    assert "Axis chat: 30 of the 100 prompts of chat.jsonl, held out" in shown
    held_out = [json.loads(line) for line in Path("study-eval/code.jsonl").read_text().splitlines()]
    assert {row["accepted"] for row in held_out} < {str(n) for n in range(100)}


def test_models_that_exist_are_measured_and_merged() -> None:
    """Nothing is trained; without prompts, a published set and a judge model are named."""
    for name in ("base", "a", "b"):
        write_model(Path(name))
    models = ("--model", "a=./a", "--model", "b=./b", "--base", "./base")
    read = accepted(*models)
    assert read["checkpoints"]["a"] == "./a"
    assert read["evaluate"]["axes"]["general"]["prompts"] == {"set": "dolly200"}
    assert "training" not in read
    rows("sums")
    read = accepted(*models, "--eval", "sums.jsonl", "--force")
    axis = read["evaluate"]["axes"]["sums"]
    assert axis["prompts"] == {"files": "sums.jsonl", "columns": {"accepted": "answer"}}
    assert axis["judge"] == {"exact_match": "squad"}


@pytest.mark.parametrize(
    ("base", "memory", "adapter"),
    [
        ("org/model-8B", 80, "2"),
        ("org/model-8B", 160, ""),
        ("org/model-8B", 12, "0.6"),
        ("org/model-0.5B", 24, ""),
        ("org/model-1.7b-it@main", 24, "2"),
    ],
)
def test_the_memory_of_a_gpu_decides_lora_or_full(base: str, memory: int, adapter: str) -> None:
    """All weights take 16 bytes each, beside an adapter 2, in 4 bits 0.6; all rows are used."""
    rows("chat", 1000)
    read = accepted("--data", "chat.jsonl", "--base", base, "--gpu-memory", str(memory))
    asked = read["training"]["sft"].get("adapter")
    rank, in_4_bits = {"rank": 16}, {"load_in_4bit": True}
    assert asked == {"": None, "2": rank, "0.6": rank | in_4_bits}[adapter]
    assert read["mixtures"]["only-chat"]["size"] == 800
    assert read["placement"]["train"]["per_device_batch"] >= 1
    text = Path("study.yaml").read_text()
    assert f"{adapter or 16} bytes a weight" in text
    assert f"the GPU has {memory} GB" in text


def test_what_is_asked_wins_over_what_would_fit() -> None:
    """`--lora` and `--full` decide whatever the memory is; too little is said."""
    rows("chat")
    read = accepted("--data", "chat.jsonl", "--base", "org/m-8B", "--gpu-memory", "24", "--full")
    assert "adapter" not in read["training"]["sft"]
    assert "NOT ENOUGH" in Path("study.yaml").read_text()
    read = accepted("--data", "chat.jsonl", "--lora", "--force")
    assert "adapter" in read["training"]["sft"]


def test_languages_come_from_the_rows_or_are_not_needed() -> None:
    """Rows that say one language or several give the study's; others take the one that is named."""
    rows("chat", language="fr")
    assert accepted("--data", "chat.jsonl")["languages"] == ["fr"]
    rows("sums")
    read = accepted("--data", "chat.jsonl", "--data", "sums.jsonl", "--force")
    assert read["languages"] == ["fr"]
    read = accepted("--data", "sums.jsonl", "--language", "de", "--force")
    assert read["languages"] == ["de"]


def test_files_in_no_common_language_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A study compares models in the languages that all its files have."""
    rows("chat", language="fr"), rows("sums", language="de")
    assert exit_code(["init", "--data", "chat.jsonl", "--data", "sums.jsonl"]) == 2
    assert "no language is in all files (seen: de, fr)" in capsys.readouterr().err


def test_evaluation_rows_may_be_training_rows() -> None:
    """Conversations as evaluation become prompts with right answers, in a file of their own."""
    talk = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "long " * 30}]
            for n in range(40)]  # fmt: skip
    Path("test.jsonl").write_text("".join(json.dumps({"messages": t}) + "\n" for t in talk))
    rows("chat")
    read = accepted("--data", "chat.jsonl", "--eval", "chat=test.jsonl")
    assert [*read["evaluate"]["axes"]] == ["chat"]
    assert read["evaluate"]["axes"]["chat"]["judge"] == {"exact_match": "squad", "f1": True}
    assert read["mixtures"]["only-chat"]["size"] == 100
    assert len(Path("study-eval/chat.jsonl").read_text().splitlines()) == 40


def test_pairs_beside_conversations_are_learnt_as_conversations() -> None:
    """One recipe trains all files: DPO where all have pairs, else SFT on the chosen answers."""
    pairs = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b"} for n in range(100)]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    assert [*accepted("--data", "pairs.jsonl")["training"]] == ["dpo"]
    rows("chat")
    read = accepted("--data", "pairs.jsonl", "--data", "chat.jsonl", "--force")
    assert [*read["training"]] == ["sft"]
    assert "read as preference pairs: prompt → chosen and not rejected" in Path(
        "study.yaml"
    ).read_text(encoding="utf-8")


def labelled(name: str, labels: list[Any]) -> None:
    """Write rows with a completion and a label, as people have them for KTO."""
    path = Path(f"{name}.jsonl")
    made = [
        {"prompt": f"{name} {n}?", "completion": f"it is {label} {n}", "label": label}
        for n, label in enumerate(labels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))


@pytest.mark.parametrize("labels", [[True, False] * 50, [1, 0] * 50, ["true", "false"] * 50])
def test_marked_answers_are_trained_by_kto(labels: list[Any]) -> None:
    """Whatever marks them; only good answers are references of the held-out prompts."""
    labelled("thumbs", labels)
    read = accepted("--data", "thumbs.jsonl")
    assert read["checkpoints"]["thumbs"] == {"train": "kto", "mixture": "only-thumbs"}
    assert read["training"]["kto"]["method"] == "kto"
    lines = Path("study-eval/thumbs.jsonl").read_text().splitlines()
    held_out = [json.loads(line) for line in lines]
    assert held_out
    assert all(f"it is {labels[0]} " in row["accepted"] for row in held_out)


def test_the_form_that_all_files_have_decides_the_method() -> None:
    """Pairs alone are for DPO, pairs and marked answers for KTO; with answers alone it is SFT."""
    labelled("thumbs", [True, False] * 50)
    rows("chat")
    pairs = [{"prompt": f"p {n}?", "chosen": "yes", "rejected": f"no {n}"} for n in range(100)]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    for files, method in (
        (["pairs"], "dpo"),
        (["pairs", "thumbs"], "kto"),
        (["thumbs", "chat"], "sft"),
    ):
        named = [argument for file in files for argument in ("--data", f"{file}.jsonl")]
        assert {*accepted(*named, "--force")["training"]} == {method}


def test_marks_of_one_kind_are_no_contrast() -> None:
    """Good answers alone are answers to learn; KTO would refuse them."""
    labelled("liked", [True] * 100)
    assert {*accepted("--data", "liked.jsonl")["training"]} == {"sft"}


def test_kto_has_a_pair_of_rows_on_the_gpu() -> None:
    """Its loss compares rows of a batch, however little memory there is."""
    labelled("thumbs", [True, False] * 50)
    read = accepted("--data", "thumbs.jsonl", "--base", "org/m-7B", "--gpu-memory", "24")
    assert read["placement"]["train"]["per_device_batch"] >= 2


def test_answers_that_a_program_checks_can_be_rewarded(capsys: pytest.CaptureFixture[str]) -> None:
    """A comment shows how; prompts without answers are refused with what they are for."""
    rows("sums")
    accepted("--data", "sums.jsonl")
    assert "# rl: {method: grpo, reward: {sums: 1}}" in Path("study.yaml").read_text()
    made = [{"prompt": f"sum {n}?", "accepted": f"{n}"} for n in range(100)]
    Path("asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    assert exit_code(["init", "--data", "asked.jsonl", "--force"]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "prompts without answers to learn. They train by rewards (`method: grpo`)" in shown


def test_a_judge_model_can_be_named() -> None:
    """With a judge model answers are compared with the base model's; a local one needs no key."""
    rows("chat")
    url = "http://localhost:8000/v1"
    read = accepted("--data", "chat.jsonl", "--judge", "judge-7b", "--judge-url", url)
    axis = read["evaluate"]["axes"]["chat"]
    assert axis["judge"] == {"endpoint": url, "model": "judge-7b"}
    assert axis["measure"] == "win_rate"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to study yet"),
        (["--data", "chat=none.jsonl"], "none.jsonl: no such file"),
        (["--data", "chat="], "--data chat=: names nothing"),
        (["--data", "chat.jsonl", "--data", "chat.jsonl"], "is a second one of this name"),
        (["--data", "ä ö=chat.jsonl"], "a name has letters, digits"),
        (["--model", "a=org/a"], "`--base` is missing"),
        (["--model", "a=./none", "--base", "org/b"], "--model a=./none: no such folder"),
        (["--model", "chat=org/a", "--base", "org/b", "--data", "chat.jsonl"], "different names"),
        (["--data", "chat.jsonl", "--metric", "bleu"], "there is no such metric"),
        (
            ["--data", "plain.jsonl"],
            "can be trained on: plain.jsonl, line 1: `text` has no turns",
        ),
        (["--data", "odd.jsonl"], "has no rows for `form: conversations`"),
        (["--data", "chat.jsonl", "--eval", "chat=chat.jsonl"], "no row in `en` is left to train"),
        (["taken.yaml", "--data", "chat.jsonl"], "taken.yaml: exists already"),
        (["new.yaml", "--data", "chat.jsonl"], "new-eval/chat.jsonl: exists already"),
    ],
)
def test_what_cannot_be_studied_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message says what is missing or in the way; no file is written or replaced."""
    rows("chat")
    Path("odd.jsonl").write_text('{"x": 1}\n')
    Path("plain.jsonl").write_text('{"text": "A story."}\n')
    Path("taken.yaml").write_text("mine")
    Path("new-eval").mkdir()
    Path("new-eval/chat.jsonl").write_text("mine")
    assert exit_code(["init", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("study.yaml").exists()
    assert not Path("new.yaml").exists()
    assert Path("taken.yaml").read_text() == Path("new-eval/chat.jsonl").read_text() == "mine"


def test_in_a_terminal_what_is_missing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty answers go on; a file that does not exist is asked for again."""
    rows("chat")
    answers = iter(["", "none.jsonl", "chat.jsonl", "", "testbed"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert exit_code(["init"]) == 0
    assert [*study()["data"]] == ["chat"]
    assert next(answers, None) is None


def test_ctrl_c_at_a_question_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback and no file: the exit code is that of an interruption."""

    def interrupted(*_: object, **__: object) -> str:
        raise typer.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", interrupted)
    assert exit_code(["init"]) == 130
    assert "Interrupted." in capsys.readouterr().err


def test_rows_that_cannot_be_used_are_dropped_and_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A few broken rows stop nothing: the study says `broken: drop`, the screen says which."""
    path = rows("chat")
    path.write_text(path.read_text() + '{"prompt": "no answer?", "answer": ""}\n')
    read = accepted("--data", "chat.jsonl")
    assert read["data"]["chat"]["broken"] == "drop"
    said = (
        "chat: 1 rows cannot be used and are dropped (`broken: drop`); the first: chat.jsonl, line"
    )
    assert said in capsys.readouterr().out
