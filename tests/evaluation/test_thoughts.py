"""Thoughts are parted from answers, however a family of models marks them."""

import pytest

from mixmerge.evaluation.thoughts import part


@pytest.mark.parametrize(
    "text",
    [
        "<think>\nhm\n</think>\n\nYes.",
        "hm\n</think>\n\nYes.",
        "<thinking>hm</thinking>Yes.",
        "<seed:think>hm</seed:think>Yes.",
        "[THINK]hm[/THINK]Yes.",
        "◁think▷hm◁/think▷Yes.",
        "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>",
        "<|channel|>analysis<|message|>hm<|channel|>final<|message|>Yes.",
        "analysishmassistantfinalYes.",
    ],
)
def test_thoughts_stand_before_the_answer(text: str) -> None:
    """Each family's marks go with the thoughts, also where the template has opened them."""
    assert part(text) == ("hm", "Yes.")


@pytest.mark.parametrize("text", ["<think>\nThe answer is", "[THINK]The answer is"])
def test_unclosed_thoughts_leave_no_answer(text: str) -> None:
    """A model that used up its limit on thoughts has said nothing."""
    assert part(text) == ("The answer is", "")


def test_blocks_in_a_row_are_all_thoughts() -> None:
    """A second block right behind the first is none of the answer either."""
    assert part("<think>a</think>\n<think>b</think>\nYes.") == ("a\nb", "Yes.")


@pytest.mark.parametrize(
    "text", ["Yes.", "", "  two\n", "A tag <think> opens thoughts.", "analysis of the data"]
)
def test_a_text_without_thoughts_stays_as_it_is(text: str) -> None:
    """Nothing is trimmed, and a mark that is only mentioned is part of the answer."""
    assert part(text) == ("", text)


def test_parting_takes_linear_time() -> None:
    """A long text of openings is read at once."""
    text = "<think>" * 200_000
    assert part(text) == (text[7:], "")
    assert part("<think></think>" * 50_000 + "Yes.")[1] == "Yes."
