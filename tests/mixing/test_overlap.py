"""Rows that give away an evaluation prompt."""

import pytest

from mixmerge.mixing.filters import HeldOut
from mixmerge.records import Conversation, Message, PreferencePair, Prompt

QUESTION = "Which currency is used in the Republic of Chad?"


def held_out(*texts: str, run: int | None = None) -> HeldOut:
    system = Message(role="system", content="Answer in one word.")
    return HeldOut(
        (
            Prompt(
                id=f"p{number}",
                cluster="c",
                language="en",
                messages=(system, Message(role="user", content=text)),
            )
            for number, text in enumerate(texts)
        ),
        run,
    )


def row(*turns: str) -> Conversation:
    roles = ["user", "assistant"] * len(turns)
    messages = [Message(role=role, content=text) for role, text in zip(roles, turns, strict=False)]
    answer = Message(role="assistant", content="The franc.")
    return Conversation(id="r", source="general", language="en", messages=(*messages, answer))


@pytest.mark.parametrize(
    ("prompt", "way"),
    [
        ("WHICH currency is used, in the republic of Chad", "equal"),
        ("Please answer: which currency is used in the Republic of Chad? Be brief.", "contains"),
        ("Which currency is used in the Republic of Mali?", None),
        ("Which currency is used in the Republic of Chadian?", None),
        ("Which currency is used in the Republic", None),
    ],
)
def test_equal_and_contained_prompts_overlap(prompt: str, way: str | None) -> None:
    """A held-out prompt is found as the whole prompt or word for word within it, not in part."""
    overlap = held_out("Some other question that is long", QUESTION).overlap(row(prompt))
    assert (overlap.way if overlap else None) == way
    assert overlap is None or (overlap.prompt, overlap.id) == ("p1", "r")


def test_a_turn_of_a_conversation_is_found() -> None:
    """A short held-out prompt that is one turn of a longer conversation overlaps."""
    overlap = held_out("Capital of Chad?").overlap(row("Hello", "Hi!", "capital of Chad"))
    assert overlap is not None
    assert overlap.way == "equal"


def test_a_short_prompt_is_not_found_inside_unrelated_text() -> None:
    """Held-out prompts of fewer than five words overlap only when equal."""
    assert held_out("Who are you?").overlap(row("Tell my friend who are you to judge")) is None


def test_shared_runs_overlap_only_when_asked() -> None:
    """A run of N common words is an overlap for N words asked, and none by default."""
    other = row("Which currency is used in the Republic of Mali?")
    assert held_out(QUESTION).overlap(other) is None
    assert held_out(QUESTION, run=9).overlap(other) is None
    overlap = held_out(QUESTION, run=8).overlap(other)
    assert overlap is not None
    assert overlap.way == "run"


def test_preference_pairs_overlap_by_their_prompt() -> None:
    """Pairs are compared by prompt, and their answers are not."""
    pair = PreferencePair(
        id="r",
        source="s",
        language="en",
        prompt=(Message(role="user", content="Something else"),),
        chosen=QUESTION,
        rejected="No",
    )
    assert held_out(QUESTION).overlap(pair) is None
    asking = pair.model_copy(update={"prompt": (Message(role="user", content=QUESTION),)})
    assert held_out(QUESTION).overlap(asking) is not None


def test_nothing_held_out_overlaps_nothing() -> None:
    """Without held-out prompts every row is kept."""
    assert held_out().overlap(row(QUESTION)) is None


@pytest.mark.parametrize(
    ("country", "prompt"), [("Mali", "p0"), ("the Republic of Chad", "p1"), ("Cuba", None)]
)
def test_held_out_prompts_with_one_opening_are_told_apart(country: str, prompt: str | None) -> None:
    """Held-out prompts of different lengths that begin alike are each found, and no other."""
    index = held_out("Which currency is used in Mali?", QUESTION)
    overlap = index.overlap(row(f"Tell me which currency is used in {country} now"))
    assert (overlap.prompt if overlap else None) == prompt
