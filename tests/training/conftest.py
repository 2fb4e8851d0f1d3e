"""Tiny models made here: Cohere (tied head, scaled logits) and Llama, with their tokenizers."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixmerge.files import write_rows
from mixmerge.records import Conversation, LabelledCompletion, Message, PreferencePair
from mixmerge.training.objectives import OBJECTIVES

COHERE_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|>"
    "{% if m['role'] == 'assistant' %}<|CHATBOT_TOKEN|>"
    "{% generation %}{{ m['content'] }}<|END_OF_TURN_TOKEN|>{% endgeneration %}"
    "{% else %}<|{{ 'USER' if m['role'] == 'user' else 'SYSTEM' }}_TOKEN|>"
    "{{ m['content'] }}<|END_OF_TURN_TOKEN|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)
PLAIN_TEMPLATE = COHERE_TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")

SPECIAL = [
    "<PAD>",
    "<BOS_TOKEN>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
]
WORDS = {
    "en": ("Where do I find the {}?", "The {} is on the table.", "I would rather not say."),
    "fr": ("Où est {} ?", "{} est sur la table.", "Je préfère ne pas le dire."),
    "hi": ("{} कहाँ है?", "{} मेज़ पर है।", "मैं यह नहीं कहूँगा।"),
}
NOUNS = ["lamp", "door", "boat", "letter", "basket", "ladder", "window", "engine"]


def tokenizer(template: str | None = COHERE_TEMPLATE) -> Any:
    """Return a byte-level BPE tokenizer trained on the words above."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    texts = [text.format(noun) for texts in WORDS.values() for text in texts for noun in NOUNS]
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<BOS_TOKEN>",
        eos_token="<|END_OF_TURN_TOKEN|>",
        pad_token="<PAD>",
        padding_side="left",
    )
    made.chat_template = template
    return made


def make_model(
    folder: Path,
    architecture: str = "cohere",
    template: str | None = COHERE_TEMPLATE,
    **changed: Any,
) -> Path:
    """Write a tiny random model with its tokenizer; ``changed`` are settings of its config."""
    import torch
    from transformers import CohereConfig, CohereForCausalLM, LlamaConfig, LlamaForCausalLM

    words = tokenizer(template)
    shape: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        **changed,
    }
    torch.manual_seed(0)
    # A random Cohere hardly learns with its usual logit scale of 1/16.
    model: Any = (
        CohereForCausalLM(CohereConfig(**shape, logit_scale=1.0))
        if architecture == "cohere"
        else LlamaForCausalLM(LlamaConfig(**shape))
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def turn(role: str, content: str) -> Message:
    """Return one message."""
    return Message.model_validate({"role": role, "content": content})


def conversation(number: int) -> Conversation:
    """Return one of a family of conversations in three languages, every fourth of two turns."""
    rng = random.Random(number)
    language = list(WORDS)[number % len(WORDS)]
    ask, answer, refusal = (text.format(rng.choice(NOUNS)) for text in WORDS[language])
    turns = [turn("user", ask), turn("assistant", answer)]
    if number % 4 == 0:
        turns += [turn("user", ask), turn("assistant", refusal)]
    return Conversation(id=f"row-{number}", source="test", language=language, messages=tuple(turns))


def pair(number: int) -> PreferencePair:
    """Return one of a family of preference pairs."""
    row = conversation(number)
    return PreferencePair(
        id=row.id,
        source="test",
        language=row.language,
        prompt=row.messages[:1],
        chosen=row.messages[1].content,
        rejected=WORDS[row.language][2],
    )


def labelled(number: int) -> LabelledCompletion:
    """Return one of a family of labelled answers, two of three good."""
    row = pair(number)
    good = number % 3 > 0
    return LabelledCompletion(
        id=row.id,
        source="test",
        language=row.language,
        prompt=row.prompt,
        completion=row.chosen if good else row.rejected,
        label=good,
    )


class Tiny:
    """What test modules use of this file."""

    cohere_template = COHERE_TEMPLATE
    plain_template = PLAIN_TEMPLATE
    tokenizer = staticmethod(tokenizer)
    make_model = staticmethod(make_model)
    turn = staticmethod(turn)
    conversation = staticmethod(conversation)
    pair = staticmethod(pair)
    labelled = staticmethod(labelled)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """Makers of tiny tokenizers, models and rows."""
    return Tiny()


@pytest.fixture(scope="session")
def cohere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Cohere model."""
    return make_model(tmp_path_factory.mktemp("models") / "cohere")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama model whose template has no generation markers."""
    return make_model(tmp_path_factory.mktemp("models") / "llama", "llama", PLAIN_TEMPLATE)


@pytest.fixture
def conversations(tmp_path: Path) -> Callable[[int], Path]:
    """Write this many conversations and return the file."""

    def write(count: int) -> Path:
        write_rows(tmp_path / "sft.jsonl", map(conversation, range(count)))
        return tmp_path / "sft.jsonl"

    return write


@pytest.fixture
def pairs(tmp_path: Path) -> Callable[[int], Path]:
    """Write this many preference pairs and return the file."""

    def write(count: int) -> Path:
        write_rows(tmp_path / "dpo.jsonl", map(pair, range(count)))
        return tmp_path / "dpo.jsonl"

    return write


@pytest.fixture
def rows_for(tmp_path: Path) -> Callable[[str, int], Path]:
    """Write this many rows for an objective and return the file."""

    def write(method: str, count: int) -> Path:
        makers = {Conversation: conversation, PreferencePair: pair, LabelledCompletion: labelled}
        make = makers[OBJECTIVES[method].rows]
        write_rows(tmp_path / f"{method}.jsonl", map(make, range(count)))
        return tmp_path / f"{method}.jsonl"

    return write
