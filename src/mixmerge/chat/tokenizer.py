"""Tokenizers and context lengths of model folders, and the tokens at which a model stops."""

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
"""Where a model says how text is generated with it."""
_MOST_ADDED = 100_000
"""Tokens beside the vocabulary, which are searched for one by one; models have up to 10,000."""
_PATTERN = re.compile(rb'"Regex"\s*:\s*"((?:[^"\\]|\\.)*)"')
_LONGEST_PATTERN = 20_000
"""Characters of a pattern that splits text; models have some hundreds."""
_CONTEXT = (
    *("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_length"),
    *("max_seq_len", "seq_length", "seq_len", "context_length", "max_context_length"),
)
"""The names that configurations have for the context."""
_PARTS = ("text_config", "llm_config", "language_config", "decoder")
"""Where configurations of models that also see or hear keep those of the language model."""


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a folder; its own code is never run.

    Raises:
        ModelError: it cannot be loaded, or would take forever to.
    """
    from transformers import AutoTokenizer

    check_size(folder / "tokenizer.json")
    with explained_panics(f"{folder}: its tokenizer does not load"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def explained_panics(what: str) -> Iterator[None]:
    """Turn what the libraries of tokenizers raise for a bad file or text into a `ModelError`.

    They raise what they like, and the panics of one of them are no `Exception`.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MixmergeError):
        raise
    except BaseException as error:
        raise ModelError(f"{what}: {str(error)[:500]}") from error


def check_size(file: Path) -> None:
    """Refuse a ``tokenizer.json`` that would take forever, by its bytes alone.

    Raises:
        ModelError: it has too many added tokens, or a pattern of absurd length.
    """
    content = file.read_bytes() if file.is_file() else b""
    added = content.count(b'"single_word"')
    if added > _MOST_ADDED:
        raise ModelError(
            f"{file}: {added:,} added tokens, more than {_MOST_ADDED:,}; such a tokenizer would "
            "not load in reasonable time. Put them into the vocabulary."
        )
    longest = max((len(found) for found in _PATTERN.findall(content)), default=0)
    if longest > _LONGEST_PATTERN:
        raise ModelError(
            f"{file}: splits text by a pattern of {longest:,} characters, more than "
            f"{_LONGEST_PATTERN:,}."
        )


def tokens_of(tokenizer: Any, text: str, model: str) -> list[int]:
    """Return the tokens of a text that has its special tokens already.

    Raises:
        ModelError: the tokenizer fails at this text.
    """
    with explained_panics(f"{model}: its tokenizer fails at a text of {len(text):,} characters"):
        # A pattern that backtracks without end is such a panic, too.
        ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def chat_template(tokenizer: Any, model: str) -> str:
    """Return the chat template of a tokenizer; of several named ones the ``default``.

    Raises:
        ModelError: it has none.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise ModelError(
            f"{model}: the tokenizer has no chat template, so conversations cannot be written for "
            "this model. Put the chat_template.jinja of its chat model, or of your own, into its "
            "folder."
        )
    return str(template)


def language_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a configuration that describes the language model."""
    inner = (config.get(part) for part in _PARTS)
    return next((each for each in inner if isinstance(each, dict)), config)


def context_length(config: Mapping[str, Any]) -> int | None:
    """Return the most tokens that a model reads and writes together, where it says so."""
    for part in (language_config(config), config):
        found = [part[name] for name in _CONTEXT if isinstance(part.get(name), int)]
        if found:
            return int(found[0])
    return None


def stop_tokens(folder: Path, config: Mapping[str, Any], tokenizer: Any) -> list[int]:
    """Return the tokens at which the files of a model say that generation stops.

    They are those of ``generation_config.json``, or of the configuration without one, and the
    tokenizer's own ``eos_token``.
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
