"""How long rows are, in tokens or characters of their messages."""

from collections.abc import Callable
from pathlib import Path

from mixmerge.chat.tokenizer import check_size, explained_panics
from mixmerge.errors import ModelError
from mixmerge.mixing.spec import TrainingRow
from mixmerge.records import PreferencePair


def text_of(row: TrainingRow) -> list[str]:
    """Return every text that a row trains on; a pair has its prompt and both answers."""
    if isinstance(row, PreferencePair):
        return [*(turn.content for turn in row.prompt), row.chosen, row.rejected]
    return [turn.content for turn in row.messages]


def characters(row: TrainingRow) -> int:
    """Return the number of Unicode characters in a row."""
    return sum(len(text) for text in text_of(row))


def token_counter(folder: Path) -> Callable[[TrainingRow], int]:
    """Return a function that counts the tokens of a row, without chat template or special tokens.

    Raises:
        ModelError: the folder has no readable ``tokenizer.json``.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"{folder}: no tokenizer.json, which counting tokens requires. Loading the tokenizer "
            "with transformers and saving it writes one."
        )
    check_size(path)
    with explained_panics(f"{path}: not a readable tokenizer"):
        tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(row: TrainingRow) -> int:
        with explained_panics(f"{path}: fails at row {row.id!r}"):
            return sum(len(tokenizer.encode(t, add_special_tokens=False)) for t in text_of(row))

    return count
