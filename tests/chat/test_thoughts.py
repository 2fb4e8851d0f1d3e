"""Thoughts parted from answers."""

import pytest

from mixmerge.chat.thoughts import SplitText, opens_thoughts, split_thoughts

CHANNELS = (
    "<|channel|>analysis<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Yes<|return|>"
)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>\nhm\n</think>\n\nYes.", None, SplitText("Yes.", "hm", True)),
        ("  <thinking>hm</thinking>Yes.", None, SplitText("Yes.", "hm", True)),
        ("[THINK]hm[/THINK]Yes.", None, SplitText("Yes.", "hm", True)),
        ("<|START_THINKING|>hm<|END_THINKING|>Yes.", False, SplitText("Yes.", "hm", True)),
        ("<|channel>thought\nhm<channel|>Yes.", None, SplitText("Yes.", "hm", True)),
        (CHANNELS, None, SplitText("Yes", "hm", True)),
        ("<think>a</think><think>b</think>Yes.", None, SplitText("Yes.", "a\n\nb", True)),
        ("Sure.\n<think>hm</think>\nYes.", None, SplitText("Sure.\n\nYes.", "hm", True)),
        ("<think>\n\n</think>\n\nYes.", None, SplitText("Yes.", "", True)),
        ("hm\n</think>\n\nYes.", None, SplitText("Yes.", "hm", True)),
        ("hm</think>Yes.", True, SplitText("Yes.", "hm", True)),
        ("<think>hm</think>", None, SplitText("", "hm", True)),
        ("<think>\nhm", None, SplitText("", "hm", False)),
        ("hm and hm", True, SplitText("", "hm and hm", False)),
        ("<|channel|>analysis<|message|>hm", None, SplitText("", "hm", False)),
        (" Yes.\n", None, SplitText(" Yes.\n", "", True)),
        ("Write <think> and </think>.", None, SplitText("Write <think> and </think>.", "", True)),
        ("The tag </think> ends it.", None, SplitText("The tag </think> ends it.", "", True)),
        ("hm\n</think>\nYes.", False, SplitText("hm\n</think>\nYes.", "", True)),
    ],
)
def test_thoughts_are_parted(text: str, opened: bool | None, expected: SplitText) -> None:
    """Blocks are thoughts, tags within a sentence are not, and an open block has no answer."""
    assert split_thoughts(text, opened=opened) == expected


def test_a_prompt_may_open_the_thoughts() -> None:
    """Only a block that the prompt leaves open is the answer's."""
    assert opens_thoughts("<|assistant|><think>\n")
    assert not opens_thoughts("<|assistant|><think>\n\n</think>\n\n")
    assert not opens_thoughts("<|assistant|>")
