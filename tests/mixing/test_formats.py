"""Which columns of a source are read, from their names and from a mapping."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.mixing.cases import (
    GOOD,
    OTHER,
    PAIR,
    TURNS,
    answer,
    conversation,
    jsonl,
    loaded,
    pair,
    source,
)

from mixmerge.errors import DataError
from mixmerge.mixing.sources import load
from mixmerge.mixing.spec import Form


@pytest.mark.parametrize("columns", [{}, {"messages": "messages"}])
def test_columns_that_are_not_read_may_be_empty(tmp_path: Path, columns: dict[str, str]) -> None:
    """Nothing in `prompt` beside `messages`, or in `language` beside a fixed one, breaks no row."""
    row = {"id": 7, "messages": TURNS, "prompt": None, "chosen": None, "language": None}
    file = jsonl(tmp_path / "d.jsonl", row)
    asked = source(files=file, language="en", columns=columns)
    assert load("s", asked, "conversations").rows == [conversation()]
    by_language = source(files={"en": file}, columns=columns)
    assert load("s", by_language, "conversations").rows == [conversation()]


def test_an_empty_prompt_beside_whole_conversations_is_no_fault(tmp_path: Path) -> None:
    """Answers that repeat the prompt need no column of it; answers as text do."""
    row = {"id": 7, "prompt": None, "chosen": TURNS, "rejected": OTHER}
    asked = source(files=jsonl(tmp_path / "d.jsonl", row), language="en")
    assert load("s", asked, "preferences").rows == [pair()]
    texts = jsonl(tmp_path / "t.jsonl", row | {"chosen": "a", "rejected": "b"})
    with pytest.raises(DataError, match="column `prompt` is missing or empty"):
        load("s", source(files=texts, language="en"), "preferences")


@pytest.mark.parametrize(
    ("row", "values", "form", "message"),
    [
        (
            GOOD,
            {"columns": {"messages": "chat"}},
            "conversations",
            "no column `chat`, which source",
        ),
        (
            {"texts": "Hi", "language": "en"},
            {},
            "conversations",
            r"or `prompt` and .*: texts, lang",
        ),
        (
            GOOD,
            {},
            "preferences",
            "which needs `chosen` and `rejected`, .*or ask for another form",
        ),
        ({"messages": TURNS}, {}, "conversations", "the language is not known: map"),
        ({"chosen": "a", "rejected": "b"}, {"language": "en"}, "preferences", "there is no prompt"),
    ],
)
def test_columns_that_do_not_fit_are_named(
    tmp_path: Path, row: dict[str, Any], values: dict[str, Any], form: Form, message: str
) -> None:
    """Missing columns are refused with the columns that are there."""
    file = jsonl(tmp_path / "d.jsonl", row)
    with pytest.raises(DataError, match=message):
        load("s", source(files=file, **values), form)


def test_an_id_column_can_be_passed_over(tmp_path: Path) -> None:
    """With `id: null` a column of that name is not used, so that it need not be unique."""
    rows = [{"id": 1, "messages": turns, "language": "en"} for turns in (TURNS, OTHER)]
    spec = source(files=jsonl(tmp_path / "d.jsonl", *rows), columns={"id": None})
    assert len({row.id for row in load("s", spec, "conversations").rows} - {"1"}) == 2


@pytest.mark.parametrize(
    "row",
    [
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"messages": json.dumps(TURNS)},
        {"messages": repr(TURNS)},
        {"prompt": "Hi", "completion": "Hello"},
        {"prompt": TURNS[:1], "completion": TURNS[1:]},
        {"prompt": json.dumps(TURNS[:1]), "completion": repr(TURNS[1:])},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"question": "Hi", "response": "Hello"},
        {key: json.dumps(turns) for key, turns in PAIR.items()},
        {key: repr(turns) for key, turns in PAIR.items()},
    ],
)
def test_common_formats_need_no_mapping(tmp_path: Path, row: dict[str, Any]) -> None:
    """ShareGPT, Alpaca, TRL's columns, and messages as text in any column read as they are."""
    file = jsonl(tmp_path / "d.jsonl", {"id": 7} | row)
    loaded = load("s", source(files=file, language="en"), "conversations")
    assert loaded.rows == [conversation()]


@pytest.mark.parametrize("columns", [{}, {"prompt": "instruction", "answer": "output"}])
def test_alpacas_input_is_part_of_the_prompt(tmp_path: Path, columns: dict[str, str]) -> None:
    """What an instruction is about is read with it, and a list of columns says it outright."""
    row = {"instruction": "Sum up.", "input": "A long text.", "output": "Short."}
    file = jsonl(tmp_path / "d.jsonl", row)
    loaded = load("s", source(files=file, language="en", columns=columns), "conversations")
    assert loaded.rows[0].prompt_text == "Sum up.\n\nA long text."
    assert (loaded.columns["prompt"], loaded.unread) == (["instruction", "input"], {})
    own = {"prompt": ["instruction"], "answer": "output"}
    loaded = load("s", source(files=file, language="en", columns=own), "conversations")
    assert (loaded.rows[0].prompt_text, loaded.unread) == ("Sum up.", {"input": 1})


def test_a_mapping_may_name_one_column_only(tmp_path: Path) -> None:
    """What it leaves out is found under its own name where the rest makes no row."""
    file = jsonl(tmp_path / "d.jsonl", {"prompt": "Hi", "reply": "Hello", "id": 7})
    spec = source(files=file, columns={"answer": "reply"})
    assert load("s", spec, "conversations", "en").rows == [conversation()]


def test_what_is_not_read_is_named_once(tmp_path: Path) -> None:
    """Columns and keys of messages that hold something and nobody reads, with their rows."""
    extra = [TURNS[0], TURNS[1] | {"reasoning_content": "because", "name": None}]
    rows = [{"id": n, "messages": extra, "tools": [], "score": n} for n in range(3)]
    loaded = load("s", source(files=jsonl(tmp_path / "d.jsonl", *rows)), "conversations", "en")
    assert loaded.unread == {"messages[].reasoning_content": 3, "score": 2}
    assert loaded.columns == {"messages": ["messages"], "id": ["id"]}


def test_a_later_row_may_have_the_input_that_the_first_has_not(tmp_path: Path) -> None:
    """What an instruction is about is read in every row that has it, Dolly's context too."""
    first = {"instruction": "Sum up.", "output": "a"}
    found = loaded(tmp_path, "conversations", first, first | {"input": "Long."})
    assert [row.prompt_text for row in found.rows] == ["Sum up.", "Sum up.\n\nLong."]
    assert (found.read_as, found.unread) == ("Alpaca: instruction + input → output", {})
    dolly = {"instruction": "Who?", "context": "Ann.", "response": "Ann", "category": "qa"}
    found = loaded(tmp_path, "conversations", dolly)
    assert found.rows[0].prompt_text == "Who?\n\nAnn."
    assert found.read_as == "Dolly: instruction + context → response"
    assert found.unread == {"category": 1}


def test_the_bad_answers_of_kto_are_left_out_and_counted(tmp_path: Path) -> None:
    """Rows labelled false are no answers to learn; a label that is a class is not KTO's."""
    rows = [{"prompt": "a", "completion": str(n), "label": n < 2} for n in range(5)]
    found = loaded(tmp_path, "conversations", *rows)
    assert [answer(row) for row in found.rows] == ["0", "1"]
    assert found.left_out == {"`label` is false: not an answer to learn": 3}
    assert found.read_as == "KTO: prompt → completion, only where label is true"
    whole = loaded(tmp_path, "conversations", *rows, columns={"label": None})
    assert (len(whole.rows), whole.unread) == (5, {"label": 2})
    classes = loaded(tmp_path, "conversations", rows[0] | {"label": 7})
    assert (len(classes.rows), classes.unread) == (1, {"label": 1})
    with pytest.raises(DataError, match=r"line 2: `label` must be true or false \(seen: 7\)"):
        loaded(tmp_path, "conversations", rows[0], rows[1] | {"label": 7})
