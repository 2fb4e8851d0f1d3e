"""How the columns of one row become a conversation or a preference pair."""

from pathlib import Path
from typing import Any

import pytest
from tests.mixing.cases import OTHER, PAIR, TURNS, answer, conversation, jsonl, loaded, pair, source

from mixmerge.errors import DataError
from mixmerge.mixing.sources import load
from mixmerge.records import Conversation, PreferencePair


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
