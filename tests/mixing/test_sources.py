"""Files and data sets of every type, and errors with the place of the row."""

import csv
from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.mixing.cases import (
    GOOD,
    GOOD_PAIR,
    OTHER,
    TURNS,
    answer,
    conversation,
    jsonl,
    pair,
    source,
)

from mixmerge.errors import DataError
from mixmerge.files import write_rows
from mixmerge.mixing.sources import load
from mixmerge.mixing.spec import Form
from mixmerge.records import Conversation, PreferencePair


@pytest.mark.parametrize("row", [conversation(), pair(source="elsewhere")])
def test_rows_of_our_own_need_no_columns(
    tmp_path: Path, row: Conversation | PreferencePair
) -> None:
    """Rows that mixmerge wrote are read as they are, under the name of this source."""
    write_rows(tmp_path / "d.jsonl", [row])
    form: Form = "preferences" if isinstance(row, PreferencePair) else "conversations"
    loaded = load("s", source(files=tmp_path / "d.jsonl"), form)
    assert loaded.rows == [row.model_copy(update={"source": "s"})]


def test_a_saved_data_set_in_the_ultrafeedback_format(tmp_path: Path) -> None:
    """UltraFeedback's columns give preference pairs, and conversations from its messages."""
    row = {
        "prompt": "Hi",
        "prompt_id": "7",
        "chosen": TURNS,
        "rejected": OTHER,
        "messages": TURNS,
        "score_chosen": 8.5,
        "score_rejected": 2.0,
    }
    datasets.Dataset.from_list([row]).save_to_disk(tmp_path / "ultrafeedback")
    spec = source(hub=str(tmp_path / "ultrafeedback"), columns={"id": "prompt_id"}, language="en")
    assert load("s", spec, "preferences").rows == [pair()]
    assert load("s", spec, "conversations").rows == [conversation()]


def test_a_csv_of_questions(tmp_path: Path) -> None:
    """A CSV file with mapped columns and named languages gives conversations."""
    with (tmp_path / "d.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [["key", "q", "a", "lang"], [7, "Hi", "Hello", "English"], [8, "Hi", "Salut", "fr"]]
        )
    spec = source(
        files=tmp_path / "d.csv",
        columns={"id": "key", "prompt": "q", "answer": "a", "language": "lang"},
        language_names={"English": "en"},
    )
    rows = load("s", spec, "conversations").rows
    assert rows[0] == conversation()
    assert [row.language for row in rows] == ["en", "fr"]


def test_one_file_a_language(tmp_path: Path) -> None:
    """Files named by language give their rows that language."""
    en = jsonl(tmp_path / "en.jsonl", {"messages": TURNS})
    hi = jsonl(tmp_path / "hi.jsonl", {"messages": TURNS})
    rows = load("s", source(files={"hi": hi, "en": en}), "conversations").rows
    assert [row.language for row in rows] == ["hi", "en"]
    assert rows[0].id != rows[1].id


def test_ids_default_to_a_digest_of_the_content(tmp_path: Path) -> None:
    """Without an id column a row's id depends on its content and not on its place."""
    one, two = {"messages": TURNS, "language": "en"}, {"messages": OTHER, "language": "en"}
    forward = load("s", source(files=jsonl(tmp_path / "a.jsonl", one, two)), "conversations").rows
    backward = load("s", source(files=jsonl(tmp_path / "b.jsonl", two, one)), "conversations").rows
    assert forward == backward[::-1]
    assert forward[0].id != forward[1].id


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"messages": TURNS}, "column `language` is missing or empty"),
        ({"messages": None, "language": "en"}, "column `messages` is missing or empty"),
        ({"messages": "Hi", "language": "en"}, "must be a list of messages"),
        ({"messages": ["Hi"], "language": "en"}, "must be a list of messages"),
        ({"messages": TURNS[:1], "language": "en"}, "at least 2 items"),
        ({"messages": TURNS[::-1], "language": "en"}, "last message must be the assistant's"),
        (
            {"messages": [TURNS[0], TURNS[1] | {"content": ""}], "language": "en"},
            r"`messages\.1\.content`: .* at least 1 character",
        ),
        (
            {"messages": [{"role": "tool", "content": "Hi"}, TURNS[1]], "language": "en"},
            r"`messages\.0\.role`",
        ),
        ({"messages": TURNS, "language": ""}, "the language is not known"),
    ],
)
def test_a_broken_conversation_is_named_with_its_line(
    tmp_path: Path, bad: dict[str, Any], message: str
) -> None:
    """A row that cannot be used stops the reading, with the file, the line and the reason."""
    file = jsonl(tmp_path / "d.jsonl", GOOD, bad, GOOD)
    with pytest.raises(DataError, match=r"d\.jsonl, line 2: .*" + message):
        load("s", source(files=file), "conversations")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rejected": "a"}, "must differ"),
        ({"chosen": 3}, "`chosen`: text is required"),
        ({"chosen": ""}, "`chosen`: .* at least 1 character"),
        ({"prompt": TURNS}, "last message of the prompt must be the user's"),
        ({"chosen": TURNS, "rejected": OTHER[1:]}, "must answer the same turns"),
        ({"chosen": TURNS[:1]}, "`chosen` must end with the assistant's message"),
    ],
)
def test_a_broken_pair_is_named_with_its_line(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A pair that states no preference, or not of one prompt, stops the reading."""
    file = jsonl(tmp_path / "d.jsonl", GOOD_PAIR, GOOD_PAIR | changes)
    with pytest.raises(DataError, match=r"d\.jsonl, line 2: .*" + message):
        load("s", source(files=file), "preferences")


def test_a_broken_parquet_row_is_named_by_number(tmp_path: Path) -> None:
    """In a file without lines the message has the number of the row."""
    rows = [{"prompt": "Hi", "answer": text} for text in ("Hello", "")]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet, row 2: `messages\.1\.content`"):
        load("s", source(files=tmp_path / "d.parquet", language="en"), "conversations")


def test_broken_rows_are_dropped_only_when_asked(tmp_path: Path) -> None:
    """With `broken: drop` the good rows are used and the message of each other one is kept."""
    file = jsonl(tmp_path / "d.jsonl", GOOD, {"messages": [], "language": "en"}, GOOD)
    loaded = load("s", source(files=file, broken="drop"), "conversations")
    assert len(loaded.rows) == 2
    assert len(loaded.broken) == 1
    assert loaded.broken[0].startswith("d.jsonl, line 2: ")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    """A source without any row is refused by name."""
    with pytest.raises(DataError, match=r"source `s` has no rows \(.*d\.jsonl is empty\)"):
        load("s", source(files=jsonl(tmp_path / "d.jsonl")), "conversations")


def test_one_id_for_two_rows_is_refused(tmp_path: Path) -> None:
    """An id that names two different rows is refused with both places; a repeated row is not."""
    first, second = GOOD | {"id": 1}, {"id": 1, "messages": OTHER, "language": "en"}
    repeated = jsonl(tmp_path / "same.jsonl", first, first)
    assert len(load("s", source(files=repeated), "conversations").rows) == 2
    file = jsonl(tmp_path / "d.jsonl", first, second)
    with pytest.raises(
        DataError, match=r"line 2: the id '1' is that of another row \(d.jsonl, line 1\)"
    ):
        load("s", source(files=file), "conversations")


def test_translations_may_share_an_id(tmp_path: Path) -> None:
    """The same id in two languages is no clash."""
    rows = [{"id": 7, "messages": TURNS, "language": language} for language in ("en", "hi")]
    loaded = load("s", source(files=jsonl(tmp_path / "d.jsonl", *rows)), "conversations")
    assert [row.id for row in loaded.rows] == ["7", "7"]


def test_several_files_are_one_source(tmp_path: Path) -> None:
    """Files of a list are read one after the other."""
    one = jsonl(tmp_path / "a.jsonl", GOOD)
    two = jsonl(tmp_path / "b.jsonl", {"messages": OTHER, "language": "en"})
    rows = load("s", source(files=[two, one]), "conversations").rows
    assert [answer(row) for row in rows] == ["Go away", "Hello"]


def test_a_few_rows_can_be_looked_at(tmp_path: Path) -> None:
    """With `first`, what comes further down is not read."""
    file = jsonl(tmp_path / "d.jsonl", GOOD, GOOD | {"messages": OTHER}, {"messages": []})
    assert len(load("s", source(files=file), "conversations", first=2).rows) == 2
