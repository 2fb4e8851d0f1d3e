"""Messages as data sets hold them."""

import json
from typing import Any

import pytest

from mixmerge.records.turns import from_text, read_turns

TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
CALL = {"type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.mark.parametrize(
    "value",
    [
        TALK,
        json.dumps(TALK),
        repr(TALK),
        repr(tuple(TALK)),
        [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}],
        [{"role": "User", "content": "Hi"}, {"role": "model", "content": "Hello"}],
        [TALK[0], {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}],
        [turn | {"name": None, "tool_calls": [], "weight": 1} for turn in TALK],
        [TALK[0] | {"weight": 0}, TALK[1] | {"train": True}],
    ],
)
def test_ways_to_write_one_conversation(value: Any) -> None:
    """Other names, texts in JSON or Python, and empty keys read as the same turns."""
    turns = read_turns("messages", value)
    assert (turns, turns.unread) == (TALK, set())


@pytest.mark.parametrize("key", ["weight", "train", "training", "loss"])
def test_a_weight_of_zero_is_kept(key: str) -> None:
    """A turn that is not to be trained on says so."""
    assert read_turns("messages", [TALK[1] | {key: 0}])[0]["weight"] == 0


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, "`tool_calls`.*not read"),
        ({"role": "assistant", "content": "", "function_call": CALL}, "`function_call`"),
        ({"role": "assistant", "content": "a", "weight": 0.5}, "`weight: 0.5`"),
        ({"role": "user", "content": [{"type": "image"}]}, "content of 1 parts"),
        ({"role": "user", "content": [{"text": "a"}, {"text": "b"}]}, "content of 2 parts"),
        ({"speaker": "user", "text": "a"}, "list of messages with `role` and `content`"),
        ("[{'role': 'user' 'content': 'Hi'}]", "neither JSON nor Python"),
        ("[{'role': 'user', 'content': 'a'}\n {'role': 'user', 'content': 'b'}]", "neither JSON"),
    ],
)
def test_what_cannot_be_read_is_refused(message: Any, why: str) -> None:
    """Calls of tools, other weights, pictures and broken texts are said, not dropped."""
    with pytest.raises(ValueError, match=why):
        read_turns("messages", message)


def test_unread_keys_are_named() -> None:
    """What stands beside role and content is named once, and only where it holds something."""
    extra = {"reasoning_content": "because", "name": "Ann", "audio": None}
    assert read_turns("chosen", [TALK[0], TALK[1] | extra]).unread == {
        "chosen[].reasoning_content",
        "chosen[].name",
    }


@pytest.mark.parametrize(
    "text", ["Hi", "[1, 2]", '{"city": "Paris"}', "Why is {'role': 'x', 'content': 'y'} wrong?"]
)
def test_texts_stay_texts(text: str) -> None:
    """Only what is meant to be messages is read as messages."""
    assert from_text("prompt", text) == text
