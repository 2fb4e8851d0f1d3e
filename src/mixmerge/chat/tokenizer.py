"""Tokenizers, context lengths and stop tokens of model folders."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmerge.errors import MixmergeError, ModelError
from mixmerge.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GENERATION = "generation_config.json"
"""A model's settings of generation."""
_MOST_ADDED = 100_000
"""Added tokens, each of which is searched for separately; models have up to 10,000."""
_PATTERN = re.compile(rb'"Regex"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LONGEST_PATTERN = 20_000
"""Characters of a pre-tokenizer's pattern; models have a few hundred."""
_CONTEXT = (
    *("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_length"),
    *("max_seq_len", "seq_length", "seq_len", "context_length", "max_context_length"),
)
"""The names of the context length in configurations."""
_PARTS = ("text_config", "llm_config", "language_config", "decoder")
"""The language model's part of a multimodal configuration."""


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a folder without running code from the folder.

    Raises:
        ModelError: it cannot be loaded, or loading would take too long.
    """
    from transformers import AutoTokenizer

    check_size(folder / "tokenizer.json")
    with explained_panics(f"{folder}: its tokenizer does not load"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_padding_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a folder with a padding token, by default its end-of-text token.

    Raises:
        ModelError: it cannot be loaded, or has neither of these tokens.
    """
    tokenizer = load_tokenizer(folder)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"{folder}: its tokenizer has neither a `pad_token` nor an `eos_token`, so texts "
                "of different lengths cannot be batched. Set one in tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def explained_panics(what: str) -> Iterator[None]:
    """Turn any error of the tokenizer libraries into a `ModelError`.

    They raise all kinds of errors; panics of the Rust library are not even an `Exception`.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MixmergeError):
        raise
    except BaseException as error:
        raise ModelError(f"{what}: {str(error)[:500]}") from error


def check_size(file: Path) -> None:
    """Refuse a ``tokenizer.json`` that would take too long to load.

    Raises:
        ModelError: it has too many added tokens, or too long a pattern.
    """
    content = file.read_bytes() if file.is_file() else b""
    added = content.count(b'"single_word"')
    if added > _MOST_ADDED:
        raise ModelError(
            f"{file}: {added:,} added tokens, more than {_MOST_ADDED:,}; it would take too long "
            "to load. Put them into the vocabulary."
        )
    longest = max((len(found) for found in _PATTERN.findall(content)), default=0)
    if longest > _LONGEST_PATTERN:
        raise ModelError(
            f"{file}: it splits text by a pattern of {longest:,} characters, more than "
            f"{_LONGEST_PATTERN:,}."
        )


def tokens_of(tokenizer: Any, text: str, model: str) -> list[int]:
    """Encode a text that already has its special tokens.

    Raises:
        ModelError: the tokenizer fails on this text.
    """
    with explained_panics(f"{model}: its tokenizer fails on a text of {len(text):,} characters"):
        # Catastrophic backtracking is such a panic, too.
        ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def chat_template(tokenizer: Any, model: str) -> str:
    """Return the chat template of a tokenizer; of several named ones, the ``default``.

    Raises:
        ModelError: it has none.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise ModelError(
            f"{model}: the tokenizer has no chat template, so conversations cannot be formatted "
            "for this model. Put a chat_template.jinja, such as that of its chat model, into its "
            "folder."
        )
    return str(template)


def language_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the language model's part of a configuration."""
    inner = (config.get(part) for part in _PARTS)
    return next((each for each in inner if isinstance(each, dict)), config)


def context_length(config: Mapping[str, Any]) -> int | None:
    """Return the context length in tokens, if the configuration has it."""
    for part in (language_config(config), config):
        found = [part[name] for name in _CONTEXT if isinstance(part.get(name), int)]
        if found:
            return int(found[0])
    return None


def stop_tokens(folder: Path, config: Mapping[str, Any], tokenizer: Any) -> list[int]:
    """Return the stop tokens in a model's files.

    They are those of ``generation_config.json`` (or without one, of ``config``) and the tokenizer's
    ``eos_token``.
    """
    file = folder / GENERATION
    settings = read_json(file) if file.is_file() else config
    named = settings.get("eos_token_id")
    if named is None:
        named = language_config(config).get("eos_token_id")
    ends = [] if named is None else named if isinstance(named, list) else [named]
    if tokenizer.eos_token_id is not None:
        ends = [*ends, tokenizer.eos_token_id]
    return list(dict.fromkeys(ends))
