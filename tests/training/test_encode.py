"""Rows as token ids: whose tokens carry the loss."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mixmerge.errors import DataError, ModelError
from mixmerge.records import Conversation, Message, PreferencePair
from mixmerge.training.encode import IGNORED, INSEPARABLE, SAME, Encoder
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
    with pytest.raises(ModelError, match="renders a prompt differently"):
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


CHATML = (
    "{% for m in messages %}<|START_OF_TURN_TOKEN|>{{ m.role }}\n{{ m.content }}"
    "<|END_OF_TURN_TOKEN|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>assistant\n{% endif %}"
)
BLOCK = "<think>\n\n</think>\n\n"
THINKING = (
    "{% for m in messages %}<|START_OF_TURN_TOKEN|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}BLOCK{{ m.content }}<|END_OF_TURN_TOKEN|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|END_OF_TURN_TOKEN|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|>assistant\nOPENING{% endif %}"
).replace("BLOCK", BLOCK)


def joining(tiny: Any, template: str, text: str) -> Any:
    """Return the test tokenizer with one token for a text of two characters."""
    from tokenizers import Tokenizer

    made = tiny.tokenizer(template)
    content = json.loads(made.backend_tokenizer.to_str())
    first, second = (made.tokenize(part)[0] for part in text)
    old = content["model"]["merges"].pop()
    content["model"]["vocab"][first + second] = content["model"]["vocab"].pop("".join(old))
    content["model"]["merges"].insert(0, [first, second])
    content["pre_tokenizer"]["use_regex"] = False  # as newer ones, it leaves line breaks together
    made._tokenizer = Tokenizer.from_str(json.dumps(content))
    return made


def talk(*answers: str, weights: tuple[int, ...] = ()) -> Conversation:
    """A conversation with these answers, which are trained on unless the weights say otherwise."""
    turns = []
    for answer, weight in zip(answers, weights or [1] * len(answers), strict=True):
        said = {"role": "assistant", "content": answer, "weight": weight}
        turns += [Message(role="user", content="Where?"), Message.model_validate(said)]
    return Conversation(id="r", source="test", language="en", messages=tuple(turns))


def asked_before_the_last(words: Any, row: Conversation) -> list[int]:
    """What transformers asks a model with before a row's last answer."""
    turns = [{"role": turn.role, "content": turn.content} for turn in row.messages[:-1]]
    text = words.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids: list[int] = words(text, add_special_tokens=False)["input_ids"]
    return ids


def test_an_answer_that_begins_with_a_line_break_is_encoded_after_the_prompt(tiny: Any) -> None:
    """The prompt's tokens are those that the model is asked with, in SFT and in pairs."""
    words = joining(tiny, CHATML, "\n\n")
    encoder, row = Encoder(words, "it"), talk("Here.", "\n- one\n- two")
    asked = asked_before_the_last(words, row)
    encoded = encoder.conversations([row])
    (ids,), (labels,) = encoded.columns["input_ids"], encoded.columns["labels"]
    assert ids[: len(asked)] == asked != words(words.decode(ids))["input_ids"][: len(asked)]
    assert words.decode(ids).endswith("assistant\n\n- one\n- two<|END_OF_TURN_TOKEN|>\n")
    assert spoken(words, labels[len(asked) :]) == "\n- one\n- two<|END_OF_TURN_TOKEN|>\n"
    pair = PreferencePair(
        id="r", source="s", language="en", prompt=row.messages[:3], chosen="\n- one", rejected="No"
    )
    columns = encoder.pairs([pair]).columns
    assert columns["prompt_ids"] == [asked]
    assert words.decode(columns["chosen_ids"][0]) == "\n- one<|END_OF_TURN_TOKEN|>\n"


def test_a_block_of_thoughts_begins_as_it_is_asked(tiny: Any) -> None:
    """A generation prompt that ends within what a row goes on with is its beginning in tokens."""
    words = joining(tiny, THINKING.replace("OPENING", "<think>\n"), "\n\n")
    row = talk("Yes.")
    asked = asked_before_the_last(words, row)
    ids = Encoder(words, "it").conversations([row]).columns["input_ids"][0]
    assert ids[: len(asked)] == asked


def test_what_is_asked_begins_every_row_whatever_the_mask(tiny: Any) -> None:
    """Markers do not excuse a template that asks from a state it never trains."""
    opened = THINKING.replace("OPENING", "<think>Let")
    with pytest.raises(ModelError, match=r"prompted with '.*<think>Let', but would be trained on"):
        Encoder(tiny.tokenizer(opened), "it").conversations([talk("Yes.")])
    choice = "{% if enable_thinking is false %}BLOCK{% else %}<think>Let{% endif %}"
    optional = THINKING.replace("OPENING", choice.replace("BLOCK", BLOCK))
    with pytest.raises(ModelError, match=r"Set `chat_template: \{enable_thinking: false\}`"):
        Encoder(tiny.tokenizer(optional), "it").conversations([talk("Yes.")])
    encoder = Encoder(tiny.tokenizer(optional), "it", options={"enable_thinking": False})
    assert len(encoder.conversations([talk("Yes.")]).read) == 1


@pytest.mark.parametrize("template", ["cohere_template", "plain_template"])
def test_a_turn_of_weight_zero_carries_no_loss(tiny: Any, template: str) -> None:
    """The turn is read and not learnt, with markers and without, in the middle and at the end."""
    words = tiny.tokenizer(getattr(tiny, template))
    encoded = Encoder(words, "it").conversations([talk("Bad.", "Good.", weights=(0, 1))])
    assert "Bad." in words.decode(encoded.columns["input_ids"][0])
    assert spoken(words, encoded.columns["labels"][0]) == "Good.<|END_OF_TURN_TOKEN|>"
    last = Encoder(words, "it").conversations([talk("Good.", "Bad.", weights=(1, 0))])
    assert spoken(words, last.columns["labels"][0]) == "Good.<|END_OF_TURN_TOKEN|>"


def test_rows_that_teach_nothing_are_left_out_with_a_reason(tiny: Any) -> None:
    """A pair whose answers the template makes equal is no preference; the others stay."""
    trimming = tiny.cohere_template.replace("{{ m['content'] }}", "{{ m['content'] | trim }}")
    pairs = [tiny.pair(0), tiny.pair(1).model_copy(update={"chosen": "a", "rejected": "a\n"})]
    encoded = Encoder(tiny.tokenizer(trimming), "it").pairs(pairs)
    assert encoded.left_out == {1: SAME}
    assert [len(cells) for cells in encoded.columns.values()] == [1, 1, 1]


def test_a_row_that_cannot_be_parted_is_left_out(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the answer encoded alone would spell another text, the row is counted, not bent."""
    encoder = Encoder(joining(tiny, CHATML, "\n\n"), "it")
    tokens = encoder.chat.tokens

    def prefixing(text: str) -> list[int]:  # as tokenizers do that begin every text with a space
        return tokens(f" {text}" if text.startswith("\n-") else text)

    monkeypatch.setattr(encoder.chat, "tokens", prefixing)
    encoded = encoder.conversations([talk("\n- one"), talk("Yes.")])
    assert encoded.left_out == {0: INSEPARABLE}
    assert len(encoded.read) == 1


def test_pairs_must_teach_to_stop_too(tiny: Any) -> None:
    """An answer after which no special token stands is refused in preference data as well."""
    endless = tiny.plain_template.replace("<|END_OF_TURN_TOKEN|>", "\n")
    with pytest.raises(ModelError, match="would never learn to stop"):
        Encoder(tiny.tokenizer(endless), "it").pairs([tiny.pair(0)])
