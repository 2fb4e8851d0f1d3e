"""Rows as token ids: whose tokens carry the loss."""

from collections.abc import Callable
from typing import Any

import pytest

from mixmerge.errors import DataError, ModelError
from mixmerge.records import Conversation
from mixmerge.training.encode import IGNORED, Encoder
from mixmerge.training.trl_compat import training_template

Make = Callable[[str | None], Encoder]


@pytest.fixture
def encoder(tiny: Any) -> Make:
    """Return an encoder for the test tokenizer with this chat template."""

    def make(template: str | None) -> Encoder:
        words = tiny.tokenizer(template)
        return Encoder(words, "the model", training_template(words))

    return make


@pytest.fixture
def rows(tiny: Any) -> list[Conversation]:
    """A dozen conversations, some of two turns."""
    return [tiny.conversation(number) for number in range(12)]


def spoken(words: Any, labels: list[int]) -> str:
    """Return the text of the tokens with a loss."""
    return str(words.decode([label for label in labels if label != IGNORED]))


def test_the_loss_reads_the_assistant_and_its_end_of_turn(
    tiny: Any, encoder: Make, rows: list[Conversation]
) -> None:
    """Exactly the assistant's words, each turn closed by its end token, carry labels."""
    words = tiny.tokenizer()
    encoded = encoder(tiny.cohere_template).conversations(rows)
    for row, ids, labels in zip(
        rows, encoded.columns["input_ids"], encoded.columns["labels"], strict=True
    ):
        answers = [m.content for m in row.messages if m.role == "assistant"]
        assert spoken(words, labels) == "".join(f"{text}<|END_OF_TURN_TOKEN|>" for text in answers)
        assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))
        assert ids.count(words.bos_token_id) == 1


def test_markers_trls_template_and_turn_boundaries_agree(
    tiny: Any, encoder: Make, rows: list[Conversation]
) -> None:
    """The three ways to find the assistant's tokens find the same ones."""
    from trl.chat_template_utils import cohere_chat_template

    by_markers = encoder(tiny.cohere_template)
    by_boundaries = encoder(tiny.plain_template)
    by_trl = encoder(cohere_chat_template)
    assert by_markers.mask == "generation markers"
    assert by_boundaries.mask == "turn boundaries"
    assert by_trl.mask == "TRL's template"
    expected = by_markers.conversations(rows)
    assert by_boundaries.conversations(rows).columns == expected.columns
    # Cohere's own template adds a preamble of its own making: the answers are what is compared.
    words = tiny.tokenizer()
    found = by_trl.conversations(rows).columns["labels"]
    for ours, theirs in zip(expected.columns["labels"], found, strict=True):
        assert spoken(words, ours) == spoken(words, theirs)


def test_counts_of_tokens(tiny: Any, encoder: Make, rows: list[Conversation]) -> None:
    """Tokens read and tokens with a loss are counted per row, without padding."""
    encoded = encoder(tiny.cohere_template).conversations(rows)
    assert encoded.read.tolist() == [len(ids) for ids in encoded.columns["input_ids"]]
    assert encoded.targets.tolist() == [
        sum(label != IGNORED for label in labels) for labels in encoded.columns["labels"]
    ]


def test_a_pair_shares_its_prompt(tiny: Any, encoder: Make) -> None:
    """Prompt, chosen and rejected answer decode to the text of the row."""
    words, preferences = tiny.tokenizer(), [tiny.pair(number) for number in range(6)]
    encoded = encoder(tiny.cohere_template).pairs(preferences)
    for number, row in enumerate(preferences):
        prompt, chosen, rejected = (
            encoded.columns[name][number] for name in ("prompt_ids", "chosen_ids", "rejected_ids")
        )
        assert words.decode(prompt).endswith(
            f"{row.prompt[-1].content}<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
        )
        assert words.decode(chosen) == f"{row.chosen}<|END_OF_TURN_TOKEN|>"
        assert words.decode(rejected) == f"{row.rejected}<|END_OF_TURN_TOKEN|>"
        assert encoded.longest[number] == len(prompt) + max(len(chosen), len(rejected))
        assert encoded.read[number] == 2 * len(prompt) + len(chosen) + len(rejected)


def test_a_tokenizer_without_template_is_refused(encoder: Make) -> None:
    """Without a chat template the message says where to put one."""
    with pytest.raises(ModelError, match=r"no chat template.*chat_template\.jinja"):
        encoder(None)


def test_a_template_that_never_trains_the_end_of_turn_is_refused(
    tiny: Any, encoder: Make, rows: list[Conversation]
) -> None:
    """Markers that leave the end of turn out would teach a model that never stops."""
    outside = tiny.cohere_template.replace(
        "<|END_OF_TURN_TOKEN|>{% endgeneration %}", "{% endgeneration %}<|END_OF_TURN_TOKEN|>"
    )
    with pytest.raises(ModelError, match="would never learn to stop"):
        encoder(outside).conversations(rows)


def test_a_template_that_rewrites_the_past_is_refused(
    encoder: Make, rows: list[Conversation]
) -> None:
    """Without markers, a template that shows earlier answers otherwise cannot be masked."""
    forgetful = (
        "{% for m in messages %}<|START_OF_TURN_TOKEN|>"
        "{% if m['role'] == 'assistant' %}<|CHATBOT_TOKEN|>"
        "{% if not loop.last %}(...){% else %}{{ m['content'] }}{% endif %}"
        "{% else %}<|USER_TOKEN|>{{ m['content'] }}{% endif %}<|END_OF_TURN_TOKEN|>{% endfor %}"
        "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
    )
    single = [row for row in rows if len(row.messages) == 2]
    assert len(encoder(forgetful).conversations(single).read) == len(single)
    with pytest.raises(ModelError, match="writes a prompt differently"):
        encoder(forgetful).conversations(rows)


def test_a_row_that_starts_with_the_assistant_is_named(tiny: Any, encoder: Make) -> None:
    """Without markers nothing tells where the first answer starts: an error of the data."""
    turns = (
        tiny.turn("assistant", "Welcome"),
        tiny.turn("user", "Hi"),
        tiny.turn("assistant", "Hello"),
    )
    row = Conversation(id="greeted", source="test", language="en", messages=turns)
    with pytest.raises(DataError, match=r"'greeted'.*starts with the assistant"):
        encoder(tiny.plain_template).conversations([row])
    assert encoder(tiny.cohere_template).conversations([row]).targets[0] > 0


def test_a_row_that_the_template_refuses_is_named(tiny: Any, encoder: Make) -> None:
    """The template's own complaint is passed on with the row's id and roles."""
    strict = (
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}"
    ) + tiny.cohere_template
    row = Conversation(
        id="with-system",
        source="test",
        language="en",
        messages=(
            tiny.turn("system", "Be brief."),
            tiny.turn("user", "Hi"),
            tiny.turn("assistant", "Hello"),
        ),
    )
    with pytest.raises(DataError, match=r"'with-system'.*System role not supported.*system, user"):
        encoder(strict).conversations([row])
