"""From columns to typed rows."""

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from mixmerge.errors import DataError
from mixmerge.files import write_rows
from mixmerge.mixing import SourceSpec
from mixmerge.mixing.sources import Loaded, load
from mixmerge.mixing.spec import Form, TrainingRow
from mixmerge.records import Conversation, LabelledCompletion, PreferencePair

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
OTHER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go away"}]


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def source(**values: Any) -> SourceSpec:
    return SourceSpec.model_validate(values)


def conversation(**changes: Any) -> Conversation:
    values = {"id": "7", "source": "s", "language": "en", "messages": TURNS}
    return Conversation.model_validate(values | changes)


def answer(row: TrainingRow) -> str:
    assert isinstance(row, Conversation)
    return row.messages[-1].content


def pair(**changes: Any) -> PreferencePair:
    values = {
        "id": "7",
        "source": "s",
        "language": "en",
        "prompt": TURNS[:1],
        "chosen": "Hello",
        "rejected": "Go away",
    }
    return PreferencePair.model_validate(values | changes)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"id": 7, "messages": TURNS}, {}),
        ({"key": 7, "chat": TURNS}, {"id": "key", "messages": "chat"}),
        ({"id": 7, "q": "Hi", "a": "Hello"}, {"prompt": "q", "answer": "a"}),
        ({"id": 7, "prompt": TURNS[:1], "answer": "Hello"}, {}),
        ({"id": 7, "prompt": "Hi", "chosen": "Hello", "rejected": "Go away"}, {}),
        ({"id": 7, "messages": OTHER, "q": "Hi", "a": "Hello"}, {"prompt": "q", "answer": "a"}),
        ({"id": 7, "messages": [turn | {"weight": 1} for turn in TURNS]}, {}),
    ],
)
def test_columns_become_a_conversation(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, str]
) -> None:
    """Messages, a question with its answer, and a pair's chosen side all give the conversation."""
    file = jsonl(tmp_path / "d.jsonl", row)
    loaded = load("s", source(files=file, language="en", columns=columns), "conversations")
    assert loaded.rows == [conversation()]


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"id": 7, "prompt": "Hi", "chosen": "Hello", "rejected": "Go away"}, {}),
        ({"id": 7, "prompt": TURNS[:1], "chosen": "Hello", "rejected": "Go away"}, {}),
        ({"id": 7, "prompt": "Hi", "chosen": TURNS[1:], "rejected": OTHER[1:]}, {}),
        ({"id": 7, "prompt": "Hi", "chosen": TURNS, "rejected": OTHER, "messages": TURNS}, {}),
        ({"id": 7, "good": TURNS, "bad": OTHER}, {"chosen": "good", "rejected": "bad"}),
    ],
)
def test_columns_become_a_pair(
    tmp_path: Path, row: dict[str, Any], columns: dict[str, str]
) -> None:
    """Answers as text, as messages, and as conversations that repeat the prompt give the pair."""
    file = jsonl(tmp_path / "d.jsonl", row)
    loaded = load("s", source(files=file, language="en", columns=columns), "preferences")
    assert loaded.rows == [pair()]


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


GOOD = {"messages": TURNS, "language": "en"}
GOOD_PAIR = {"prompt": "Hi", "chosen": "a", "rejected": "b", "language": "en"}


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


def test_an_id_column_can_be_passed_over(tmp_path: Path) -> None:
    """With `id: null` a column of that name is not used, so that it need not be unique."""
    rows = [{"id": 1, "messages": turns, "language": "en"} for turns in (TURNS, OTHER)]
    spec = source(files=jsonl(tmp_path / "d.jsonl", *rows), columns={"id": None})
    assert len({row.id for row in load("s", spec, "conversations").rows} - {"1"}) == 2


def test_several_files_are_one_source(tmp_path: Path) -> None:
    """Files of a list are read one after the other."""
    one = jsonl(tmp_path / "a.jsonl", GOOD)
    two = jsonl(tmp_path / "b.jsonl", {"messages": OTHER, "language": "en"})
    rows = load("s", source(files=[two, one]), "conversations").rows
    assert [answer(row) for row in rows] == ["Go away", "Hello"]


PAIR = {"chosen": TURNS, "rejected": OTHER}


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


def test_weights_of_turns_are_kept(tmp_path: Path) -> None:
    """A turn of weight 0 stays out of the loss; a row or pair with nothing else is refused."""
    talk = [*TURNS[:1], TURNS[1] | {"weight": 0}, *TURNS]
    file = jsonl(tmp_path / "d.jsonl", {"messages": talk})
    (row,) = load("s", source(files=file), "conversations", "en").rows
    assert isinstance(row, Conversation)
    assert [turn.weight for turn in row.messages] == [1, 0, 1, 1]
    assert Conversation.model_validate_json(row.model_dump_json()) == row
    file = jsonl(tmp_path / "d.jsonl", {"messages": talk[:2]})
    with pytest.raises(DataError, match="every message of the assistant has `weight: 0`"):
        load("s", source(files=file), "conversations", "en")
    file = jsonl(tmp_path / "d.jsonl", PAIR | {"chosen": talk[:2]})
    with pytest.raises(DataError, match="answer of `chosen` has a weight of 0"):
        load("s", source(files=file), "preferences", "en")


def loaded(tmp_path: Path, form: Form, *rows: dict[str, Any], **values: Any) -> Loaded:
    return load("s", source(files=jsonl(tmp_path / "d.jsonl", *rows), **values), form, "en")


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


def labels(found: Loaded) -> list[tuple[str, str, bool]]:
    """Return prompt, answer and label of each row."""
    kept = [row for row in found.rows if isinstance(row, LabelledCompletion)]
    assert len(kept) == len(found.rows)
    return [(row.prompt_text, row.completion, row.label) for row in kept]


BEST_AND_WORST = "the best of completions labelled true, the worst labelled false"
HELLO = [("Hi", "Hello", True), ("Hi", "Go away", False)]


@pytest.mark.parametrize(
    ("rows", "read_as"),
    [
        (
            [{"prompt": p, "completion": c, "label": good} for p, c, good in HELLO],
            "KTO: prompt → completion, good where label is true",
        ),
        (
            [
                {"prompt": TURNS[:1], "completion": [TURNS[1]], "label": "True"},
                {"prompt": "Hi", "completion": "Go away", "label": 0},
            ],
            "KTO: prompt → completion, good where label is true",
        ),
        (
            [
                {"messages": TURNS, "label": 1},
                {"messages": [TURNS[0], TURNS[1] | {"content": "Go away"}], "label": "0"},
            ],
            "chat: messages, good where label is true",
        ),
        (
            [{"prompt": "Hi", "chosen": "Hello", "rejected": "Go away", "label": 7}],
            "preference pairs: prompt → chosen labelled true, rejected labelled false",
        ),
        (
            [{"instruction": "Hi", "completions": ["Go away", "So", "Hello"], "scores": [1, 2, 3]}],
            "several answers with scores: instruction → " + BEST_AND_WORST,
        ),
    ],
    ids=["kto", "turns", "messages", "pairs", "scored"],
)
def test_labelled_answers_are_read_from_every_format_that_has_them(
    tmp_path: Path, rows: list[dict[str, Any]], read_as: str
) -> None:
    """KTO's rows as they are; a pair is two answers, the chosen one good."""
    found = loaded(tmp_path, "labelled", *rows)
    assert labels(found) == HELLO
    assert found.read_as == read_as
    assert len({row.id for row in found.rows}) == 2


def test_both_answers_of_a_pair_keep_its_id(tmp_path: Path) -> None:
    """An id of the data stays recognisable, and unique."""
    found = loaded(tmp_path, "labelled", PAIR | {"id": 7, "prompt": "Hi"})
    assert [row.id for row in found.rows] == ["7-chosen", "7-rejected"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "completion": "b", "label": "good"}, r"true or false \(seen: 'good'\)\."),
        ({"prompt": "a", "completion": "b", "label": -1}, r"true or false \(seen: -1\)\."),
        ({"prompt": "a", "completion": "b", "label": None}, "column `label` is missing or empty"),
        ({"prompt": "a", "completion": "", "label": True}, "`completion`: .*at least 1 character"),
        ({"prompt": "", "completion": "b", "label": True}, "content`: .*at least 1 character"),
        ({"prompt": "a", "completion": "b"}, "needs .*`prompt` and `answer` and `label`, or"),
        ({"messages": TURNS}, "needs `messages` and `label`, or"),
        ({"messages": TURNS[:1], "label": True}, "must end with the assistant's message"),
        ({"messages": [], "label": True}, "must end with the assistant's message"),
    ],
)
def test_answers_without_a_label_are_refused(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    """What is missing from a labelled answer, or no label, is named."""
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, "labelled", row)


SCORED: list[dict[str, Any]] = [
    {"response": "fair", "overall_score": 3},
    {"response": "good", "overall_score": "8.5"},
]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Hi", "completions": [*SCORED, {"response": "bad", "overall_score": 1}]},
        {"prompt": "Hi", "completions": ["fair", "good", "bad"], "scores": [3, 8.5, 1]},
        {"prompt": "Hi", "responses": ["bad", "good", "fair"], "ratings": [1, 8.5, 3]},
    ],
)
def test_of_several_answers_the_best_and_the_worst_are_taken(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    """UltraFeedback's rows make pairs of best and worst, and conversations with the best."""
    pairs = loaded(tmp_path, "preferences", row)
    (found,) = pairs.rows
    assert isinstance(found, PreferencePair)
    assert (found.prompt_text, found.chosen, found.rejected) == ("Hi", "good", "bad")
    assert "completions[] between the best and the worst" in pairs.unread
    (talk,) = loaded(tmp_path, "conversations", row).rows
    assert answer(talk) == "good"


def test_answers_with_one_score_make_no_pair(tmp_path: Path) -> None:
    """Where none is preferred, the row is left out of pairs and counted; one is still learnt."""
    rows = [{"prompt": "Hi", "completions": ["a", "b"], "scores": [1, n]} for n in (1, 2)]
    pairs = loaded(tmp_path, "preferences", *rows)
    assert len(pairs.rows) == 1
    assert pairs.left_out == {"all answers have one score: none is preferred": 1}
    assert len(loaded(tmp_path, "conversations", *rows).rows) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": [1]}, "must be lists of the same length"),
        ({"scores": [1, "N/A"]}, r"a score must be a number \(seen: 'N/A'\)"),
        ({"scores": None, "completions": ["a", "b"]}, "column `scores` is missing or empty"),
    ],
)
def test_scores_that_are_none_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Several answers need a number each."""
    row = {"prompt": "Hi", "completions": ["a", "b"], "scores": [1, 2]} | changes
    with pytest.raises(DataError, match=message):
        loaded(tmp_path, "preferences", row)


def test_the_key_of_a_score_can_be_named(tmp_path: Path) -> None:
    """Of several scores of an answer, the specification says which counts."""
    row = {"prompt": "Hi", "completions": [each | {"fine": -n} for n, each in enumerate(SCORED)]}
    found = loaded(tmp_path, "preferences", row, columns={"scores": "fine"})
    assert isinstance(found.rows[0], PreferencePair)
    assert found.rows[0].chosen == "fair"


def test_a_column_of_system_messages_comes_first(tmp_path: Path) -> None:
    """Orca's system prompt is read where it is not empty; two of them are a mistake."""
    rows = [{"system_prompt": text, "question": "Hi", "response": "Hello"} for text in ("", "Be.")]
    found = loaded(tmp_path, "conversations", *rows)
    assert [row.prompt_text for row in found.rows] == ["Hi", "Be.\nHi"]
    assert (
        found.read_as == "question and answer: question → response, system message: system_prompt"
    )
    talk = {"messages": [{"role": "system", "content": "Be."}, *TURNS], "system": "Other."}
    with pytest.raises(DataError, match="are two system messages"):
        loaded(tmp_path, "conversations", talk)


def test_texts_with_turns_are_conversations_and_pairs(tmp_path: Path) -> None:
    """One column of text is read by its turns, and so are hh-rlhf's two."""
    row = {"id": 7, "text": "User: Hi\nAssistant: Hello"}
    found = loaded(tmp_path, "conversations", row)
    assert (found.rows, found.read_as) == ([conversation()], "text with marked turns: text")
    talk = "\n\nHuman: Hi\n\nAssistant: "
    row = {"id": 7, "chosen": f"{talk}Hello", "rejected": f"{talk}Go away"}
    found = loaded(tmp_path, "preferences", row)
    assert found.rows == [pair()]
    assert found.read_as == "preference pairs: chosen rather than rejected"
    assert loaded(tmp_path, "conversations", row).rows == [conversation()]


def test_an_answer_may_be_a_whole_number(tmp_path: Path) -> None:
    """A number in JSON is the text that it is written as."""
    found = loaded(tmp_path, "conversations", {"question": "2 + 2?", "answer": 4})
    assert answer(found.rows[0]) == "4"


def test_a_few_rows_can_be_looked_at(tmp_path: Path) -> None:
    """With `first`, what comes further down is not read."""
    file = jsonl(tmp_path / "d.jsonl", GOOD, GOOD | {"messages": OTHER}, {"messages": []})
    assert len(load("s", source(files=file), "conversations", first=2).rows) == 2
