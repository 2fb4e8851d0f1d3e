"""Tokenizers that cannot be used, context lengths, and where generation stops."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mixmerge.chat.chat import Chat
from mixmerge.chat.tokenizer import context_length, load_tokenizer, stop_tokens, tokens_of
from mixmerge.errors import ModelError
from mixmerge.testbed.model import write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the testbed's tokenizer."""
    write_model(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, **parts: Any) -> None:
    """Replace parts of a tokenizer.json."""
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | parts))


def split(pattern: str) -> dict[str, Any]:
    """A pre-tokenizer that splits by a pattern."""
    regex = {"Regex": pattern}
    return {"type": "Split", "pattern": regex, "behavior": "Isolated", "invert": False}


def test_a_pattern_that_backtracks_without_end_is_an_error_of_the_model(folder: Path) -> None:
    """What the library panics at is said with the model's name."""
    change(folder, pre_tokenizer=split("(a+)+$|(x+x+)+y"))
    tokenizer = load_tokenizer(folder)
    with pytest.raises(ModelError, match=r"it: its tokenizer fails on a text of 3,001 characters"):
        tokens_of(tokenizer, "a" * 3000 + "!", "it")


def test_what_would_load_forever_is_refused(folder: Path) -> None:
    """Huge patterns and hundreds of thousands of added tokens are refused unread."""
    sizes = {"pre_tokenizer": split("(" * 20_000 + "a" + ")" * 20_000)}
    change(folder, **sizes)
    with pytest.raises(ModelError, match="pattern of 40,001 characters"):
        load_tokenizer(folder)
    token = {"content": "<x>", "single_word": False, "lstrip": False, "rstrip": False}
    change(folder, pre_tokenizer=None, added_tokens=[token | {"id": i} for i in range(100_001)])
    with pytest.raises(ModelError, match="100,001 added tokens"):
        load_tokenizer(folder)


def test_code_of_a_model_is_never_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tokenizer class of the folder's own is refused, whatever standard input would answer."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [None, "evil.Evil"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="does not load"):
        load_tokenizer(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 64}, 64),
        ({"n_positions": 64}, 64),
        ({"n_ctx": 64}, 64),
        ({"max_seq_len": 64}, 64),
        ({"seq_length": 64}, 64),
        ({"text_config": {"max_position_embeddings": 64}}, 64),
        ({"llm_config": {"n_positions": 64}, "max_position_embeddings": 8}, 64),
        ({"text_config": {"hidden_size": 8}, "max_position_embeddings": 64}, 64),
        ({"hidden_size": 64}, None),
    ],
)
def test_the_context_has_many_names(config: dict[str, Any], expected: int | None) -> None:
    """The context is found under every name, first in the language model's part."""
    assert context_length(config) == expected


def test_generation_stops_where_any_file_says(tmp_path: Path) -> None:
    """generation_config.json comes before the configuration; the tokenizer's own is added."""
    tokenizer = SimpleNamespace(eos_token_id=7)
    assert stop_tokens(tmp_path, {"eos_token_id": 5}, tokenizer) == [5, 7]
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 7]}')
    assert stop_tokens(tmp_path, {"eos_token_id": 5}, tokenizer) == [3, 7]
    (tmp_path / "generation_config.json").write_text("{}")
    assert stop_tokens(tmp_path, {"text_config": {"eos_token_id": 2}}, tokenizer) == [2, 7]


def test_the_template_says_what_ends_a_turn(folder: Path) -> None:
    """The first special token after the answer ends it; words or nothing end nothing."""
    tokenizer = load_tokenizer(folder)
    end = tokenizer.convert_tokens_to_ids("<|END_OF_TURN_TOKEN|>")
    says = "{% for m in messages %}{{ m.content }}AFTER{% endfor %}"
    for after, expected in (
        ("<|END_OF_TURN_TOKEN|>", end),
        ("\n <|END_OF_TURN_TOKEN|>\n", end),
        ("\nUser: <|END_OF_TURN_TOKEN|>", None),
        ("", None),
    ):
        tokenizer.chat_template = says.replace("AFTER", after)
        assert Chat(tokenizer, "it", {}).end_of_turn == expected
    tokenizer.chat_template = "{{ raise_exception('only questions') }}"
    assert Chat(tokenizer, "it", {}).end_of_turn is None


def test_a_folder_without_template_is_named(folder: Path) -> None:
    """There is no default: a wrong template would train and ask another language."""
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = {"rag": "{{ messages }}"}
    with pytest.raises(ModelError, match=r"it: the tokenizer has no chat template"):
        Chat(tokenizer, "it", {})
    shutil.rmtree(folder)
