"""Thoughts parted from answers."""

import pytest

from mixmerge.chat.thoughts import Parted, opens_thoughts, part

CHANNELS = (
    "<|channel|>analysis<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Yes<|return|>"
)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>\nhm\n</think>\n\nYes.", None, Parted("Yes.", "hm", True)),
        ("  <thinking>hm</thinking>Yes.", None, Parted("Yes.", "hm", True)),
        ("[THINK]hm[/THINK]Yes.", None, Parted("Yes.", "hm", True)),
        ("<|START_THINKING|>hm<|END_THINKING|>Yes.", False, Parted("Yes.", "hm", True)),
        ("<|channel>thought\nhm<channel|>Yes.", None, Parted("Yes.", "hm", True)),
        (CHANNELS, None, Parted("Yes", "hm", True)),
        ("<think>a</think><think>b</think>Yes.", None, Parted("Yes.", "a\n\nb", True)),
        ("Sure.\n<think>hm</think>\nYes.", None, Parted("Sure.\n\nYes.", "hm", True)),
        ("<think>\n\n</think>\n\nYes.", None, Parted("Yes.", "", True)),
        ("hm\n</think>\n\nYes.", None, Parted("Yes.", "hm", True)),
        ("hm</think>Yes.", True, Parted("Yes.", "hm", True)),
        ("<think>hm</think>", None, Parted("", "hm", True)),
        ("<think>\nhm", None, Parted("", "hm", False)),
        ("hm and hm", True, Parted("", "hm and hm", False)),
        ("<|channel|>analysis<|message|>hm", None, Parted("", "hm", False)),
        (" Yes.\n", None, Parted(" Yes.\n", "", True)),
        ("Write <think> and </think>.", None, Parted("Write <think> and </think>.", "", True)),
        ("The tag </think> ends it.", None, Parted("The tag </think> ends it.", "", True)),
        ("hm\n</think>\nYes.", False, Parted("hm\n</think>\nYes.", "", True)),
    ],
)
def test_thoughts_are_parted(text: str, opened: bool | None, expected: Parted) -> None:
    """Blocks are thoughts, tags within a sentence are not, and an open block has no answer."""
    assert part(text, opened=opened) == expected


def test_a_prompt_may_open_the_thoughts() -> None:
    """Only a block that the prompt leaves open is the answer's."""
    assert opens_thoughts("<|assistant|><think>\n")
    assert not opens_thoughts("<|assistant|><think>\n\n</think>\n\n")
    assert not opens_thoughts("<|assistant|>")
