"""Rows for the tests of sources."""

import json
from pathlib import Path
from typing import Any

from mixmerge.mixing import SourceSpec
from mixmerge.mixing.sources import Loaded, load
from mixmerge.mixing.spec import Form
from mixmerge.records import Conversation, PreferencePair

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]

OTHER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go away"}]

GOOD = {"messages": TURNS, "language": "en"}

GOOD_PAIR = {"prompt": "Hi", "chosen": "a", "rejected": "b", "language": "en"}

PAIR = {"chosen": TURNS, "rejected": OTHER}


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def source(**values: Any) -> SourceSpec:
    """Return the specification of a source."""
    return SourceSpec.model_validate(values)


def conversation(**changes: Any) -> Conversation:
    """Return the conversation that the cases describe."""
    values = {"id": "7", "source": "s", "language": "en", "messages": TURNS}
    return Conversation.model_validate(values | changes)


def answer(row: Conversation | PreferencePair) -> str:
    """Return the last answer of a conversation."""
    assert isinstance(row, Conversation)
    return row.messages[-1].content


def pair(**changes: Any) -> PreferencePair:
    """Return the pair that the cases describe."""
    values = {
        "id": "7",
        "source": "s",
        "language": "en",
        "prompt": TURNS[:1],
        "chosen": "Hello",
        "rejected": "Go away",
    }
    return PreferencePair.model_validate(values | changes)


def loaded(tmp_path: Path, form: Form, *rows: dict[str, Any], **values: Any) -> Loaded:
    """Read rows of a file with this form."""
    return load("s", source(files=jsonl(tmp_path / "d.jsonl", *rows), **values), form, "en")
