"""The tokenizer of the testbed's model: a byte-level BPE trained on the testbed's sentences."""

from typing import Any

from mixmerge.testbed.data import worded_pairs
from mixmerge.testbed.world import World
from tools.testbed.corpus import morals, statements

CONTEXT = 512
SPECIAL = (
    "<PAD>",
    "<UNK>",
    "<BOS_TOKEN>",
    "<EOS_TOKEN>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
)
# The turns of Cohere's models. The end of a turn is inside the generation block, so that models
# learn to stop.
CHAT = (
    "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>"
    "{% if message['role'] == 'assistant' %}<|CHATBOT_TOKEN|>"
    "{% generation %}{{ message['content'] }}<|END_OF_TURN_TOKEN|>{% endgeneration %}"
    "{% elif message['role'] == 'system' %}"
    "<|SYSTEM_TOKEN|>{{ message['content'] }}<|END_OF_TURN_TOKEN|>"
    "{% else %}<|USER_TOKEN|>{{ message['content'] }}<|END_OF_TURN_TOKEN|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)


def world_texts(world: World) -> list[str]:
    """Return the sentences that the tokenizer is trained on, in a fixed order."""
    indices = range(len(world.languages))
    texts = [
        text for fact in world.facts for index in indices for text in statements(world, fact, index)
    ]
    # Oversample names, so that they become single tokens and answers stay short.
    texts += [f" {name}" for fact in world.facts for name in fact.subject] * 10
    texts += [
        text for wish in world.wishes for index in indices for text in morals(world, wish, index)
    ]
    for kind in ("before", "after"):
        texts += [text for row in world.wordings[kind] for text in row] * 10
    for source in ("general", "safety"):
        for pair in worded_pairs(world, f"cliff/{source}", ("train",)):
            texts += [pair.prompt_text, pair.chosen]
    return texts


def build_tokenizer(world: World, vocabulary: int) -> Any:
    """Train the tokenizer on the sentences of a world.

    Args:
        world: the source of the sentences.
        vocabulary: number of tokens.

    Returns:
        A transformers ``PreTrainedTokenizerFast`` that pads on the left, with the chat template.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token="<UNK>"))  # noqa: S106
    # Unlike the usual pattern, keep marks with their letters: Hindi vowel signs are marks.
    words = Split(Regex(r" ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"), "isolated")
    to_bytes = ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        world_texts(world),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            show_progress=False,
            initial_alphabet=ByteLevel.alphabet(),
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<BOS_TOKEN>",  # noqa: S106
        eos_token="<|END_OF_TURN_TOKEN|>",  # noqa: S106
        pad_token="<PAD>",  # noqa: S106
        unk_token="<UNK>",  # noqa: S106
        padding_side="left",
        chat_template=CHAT,
        model_max_length=CONTEXT,
    )
