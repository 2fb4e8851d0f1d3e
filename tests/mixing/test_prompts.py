"""Rows of every format as prompts, with what judges check their answers by."""

import json
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError
from mixmerge.files import read_rows
from mixmerge.mixing.materialise import mix
from mixmerge.mixing.sources import load
from mixmerge.mixing.spec import MixSpec, SourceSpec
from mixmerge.records import TrainingPrompt

ASKED = [{"role": "user", "content": "2 + 2?"}]
ANSWERED = [*ASKED, {"role": "assistant", "content": "4"}]


def source(folder: Path, *rows: Any, **columns: str) -> SourceSpec:
    """Write rows and return them as a source."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SourceSpec(files=folder / "rows.jsonl", columns=columns)


@pytest.mark.parametrize(
    ("row", "accepted", "said"),
    [
        ({"prompt": "2 + 2?"}, (), "prompts: prompt"),
        ({"prompt": ASKED}, (), "prompts: prompt"),
        ({"messages": ASKED}, (), "chat: messages"),
        ({"messages": ANSWERED}, ("4",), "chat: messages"),
        ({"question": "2 + 2?", "answer": "4"}, ("4",), "question, checked by answer"),
        ({"prompt": "2 + 2?", "solution": 4}, ("4",), "prompt, checked by solution"),
        ({"prompt": "2 + 2?", "accepted": ["4", "four"]}, ("4", "four"), "checked by accepted"),
        ({"prompt": "2 + 2?", "answer": "so 4", "ground_truth": "4"}, ("4",), "by ground_truth"),
        ({"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, ("4",), "checked by chosen"),
        ({"prompt": "2 + 2?", "completions": ["5", "4"], "scores": [0, 1]}, ("4",), "prompt"),
        ({"text": "User: 2 + 2?\nAssistant: 4"}, ("4",), "text"),
    ],
)
def test_a_row_of_any_format_is_a_prompt(
    row: dict[str, Any], accepted: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    """Its own answer is the accepted one, unless another column says what is right."""
    loaded = load("math", source(tmp_path, row), "prompts", "en")
    (read,) = loaded.rows
    assert isinstance(read, TrainingPrompt)
    assert [(turn.role, turn.content) for turn in read.prompt] == [("user", "2 + 2?")]
    assert read.accepted == accepted
    assert said in loaded.read_as


def test_tests_and_categories_may_be_empty(tmp_path: Path) -> None:
    """What judges check by is optional in each row; system messages stay in the prompt."""
    rows = [
        {"prompt": "f?", "test_list": ["assert f()"], "category": "code", "system": "Be brief."},
        {"prompt": "g?", "test_list": None, "category": None, "system": None},
    ]
    one, other = load("code", source(tmp_path, *rows), "prompts", "en").rows
    assert isinstance(one, TrainingPrompt)
    assert isinstance(other, TrainingPrompt)
    assert (one.tests, one.category, one.prompt[0].role) == (("assert f()",), "code", "system")
    assert (other.tests, other.category, len(other.prompt)) == ((), None, 1)
    prompt = one.as_prompt(3)
    assert (prompt.id, prompt.tests, prompt.messages) == (
        f"code/{one.id}, answer 3",
        one.tests,
        one.prompt,
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": ""}, r"line 1: `prompt.0.content`: .*at least 1 character"),
        ({"prompt": "a", "accepted": {"x": 1}}, r"line 1: `accepted` must be a text or a list"),
        ({"prompt": "a", "accepted": [True]}, r"line 1: `accepted` must be a text or a list"),
        ({"prompt": [*ANSWERED]}, r"line 1: .*last message of the prompt must be the user's"),
        ({"body": "a"}, r"no rows for `form: prompts`, which needs .* or `prompt` \(columns: body"),
    ],
)
def test_a_row_that_is_no_prompt_is_named(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The message has the line and the column."""
    with pytest.raises(DataError, match=said):
        load("math", source(tmp_path, row), "prompts", "en")


def test_prompts_are_mixed_like_other_rows(tmp_path: Path) -> None:
    """Copies of a prompt are removed, and what is written reads back."""
    rows = [{"prompt": f"{n} + 1?", "accepted": str(n + 1)} for n in range(4)]
    spec = MixSpec(
        sources={"math": source(tmp_path, *rows, rows[0])},
        shares={"math": 1},
        size=4,
        form="prompts",
    )
    manifest = mix(spec, tmp_path / "out")
    read = read_rows(tmp_path / "out" / "rows.jsonl", TrainingPrompt)
    assert {(row.prompt_text, row.accepted) for row in read} == {
        (f"{n} + 1?", (str(n + 1),)) for n in range(4)
    }
    assert manifest.shares[0].exact_duplicates == 1
    assert manifest.shares[0].characters == sum(len(row.prompt_text) for row in read)
