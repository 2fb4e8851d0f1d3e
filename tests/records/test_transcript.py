"""Tests of mixmerge.records.transcript."""

import pytest

from mixmerge.records.transcript import read_transcript


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


WHO = (("user", "Hi"), ("assistant", "Hello"))
HI = turns(*WHO)


@pytest.mark.parametrize(
    "text",
    [
        "User: Hi\nAssistant: Hello",
        "\n\nHuman: Hi\n\nAssistant: Hello",
        "Q: Hi\nA: Hello",
        "Input: Hi\r\nOutput: Hello",
        "**User:** Hi\n**Assistant:** Hello",
        "### Human: Hi### Assistant: Hello",
        "### Instruction:\nHi\n\n### Response:\nHello</s>",
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
        "<s>[INST] Hi [/INST] Hello </s>",
        "<|user|>\nHi</s>\n<|assistant|>\nHello</s>",
        "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n",
        "".join(f"<|start_header_id|>{w}<|end_header_id|>\n\n{t}<|eot_id|>" for w, t in WHO),
    ],
)
def test_turns_are_found_as_common_templates_mark_them(text: str) -> None:
    """Words at the beginning of a line and the control tokens of chat templates part the turns."""
    assert read_transcript("text", text) == HI


def test_what_stands_before_the_first_turn_is_the_systems() -> None:
    """Alpaca's preamble is kept, and its input belongs to the instruction."""
    text = "A task.\n\n### Instruction:\nSum up.\n\n### Input:\nLong.\n\n### Response:\nOk."
    system, user, answer = ("system", "A task."), ("user", "Sum up.\n\nLong."), "Ok."
    assert read_transcript("text", text) == turns(system, user, ("assistant", answer))
    llama = "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi [/INST] Hello </s>"
    assert read_transcript("text", llama) == turns(("system", "Be kind.")) + HI


@pytest.mark.parametrize(
    "quoted", ["Question: why?", "### Question\nx\n### Answer\ny", "Input: 3\nOutput: 4", "Note: x"]
)
def test_an_answer_may_hold_words_that_mark_turns_elsewhere(quoted: str) -> None:
    """Only the words that the text began with part its turns."""
    text = f"User: Hi\nAssistant: See\n{quoted}"
    assert read_transcript("text", text) == turns(("user", "Hi"), ("assistant", f"See\n{quoted}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Only a text.", "`text` has no turns"),
        ("User: Hi", "`text` has no turns"),
        ("Q: Hi\nA: one\nA: two", "the assistant speaks twice in a row, at 'A:'"),
    ],
)
def test_turns_that_cannot_be_told_apart_are_refused(text: str, message: str) -> None:
    """A text without turns, or with two of one speaker in a row, is no conversation."""
    with pytest.raises(ValueError, match=message):
        read_transcript("text", text)
