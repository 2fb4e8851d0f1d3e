"""Draw, order and measure rows: pure functions of the rows and a seed.

Every choice follows from a hash of the seed, the source, the language and the row itself, and not
from the state of a generator: adding a source, a language or a row does not change the order of the
others, and the order of the input files does not matter.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from mixmerge.chat.tokenizer import check_size, explained_panics
from mixmerge.errors import ModelError
from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.spec import TrainingRow
from mixmerge.records import LabelledCompletion, PreferencePair, TrainingPrompt

Row = TypeVar("Row", bound=TrainingRow)


def draw(
    pool: Iterable[Row], target: int, *, size_of: Callable[[Row], int], seed: int, most_copies: int
) -> list[Row]:
    """Draw rows of one source and language until they reach ``target``.

    The rows are shuffled once and then taken in passes over that order. So every row is used before
    any is repeated, complete passes are equal, and a smaller draw is the start of a larger one: the
    safety rows of a 15 % mixture are among those of the 100 %.

    Where rows have different sizes (tokens), a row that would overshoot is skipped in favour of a
    shorter one further on. So a single long row leaves no cell half empty; but such draws are not
    nested, and a short row may be repeated while a long one is never used. A row counts
    ``size_of``: 1, or its tokens. There are at most ``most_copies`` passes.

    Returns:
        The rows drawn. For rows their number is ``target``; for tokens they are whole rows, and the
        shortest skipped row is added if this brings the sum nearer to ``target``. Fewer if the pool
        is too small.
    """
    shuffled = sorted(pool, key=lambda row: _rank(row, seed, "draw"))
    drawn: list[Row] = []
    passed_over: list[Row] = []
    got = 0
    for row in itertools.chain.from_iterable(itertools.repeat(shuffled, most_copies)):
        if got >= target:
            break
        size = size_of(row)
        if got + size > target:
            passed_over.append(row)
            continue
        drawn.append(row)
        got += size
    shortest = min(passed_over, key=size_of, default=None)
    if shortest is not None and got + size_of(shortest) - target < target - got:
        drawn.append(shortest)
    return drawn


def arrange(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return drawn rows, including copies, in the order of the mixture."""
    copies: Counter[tuple[str, str, str]] = Counter()
    ranked: list[tuple[str, Row]] = []
    for row in rows:
        key = (row.source, row.language, row.id)
        ranked.append((_rank(row, seed, f"place of copy {copies[key]}"), row))
        copies[key] += 1
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def _rank(row: TrainingRow, seed: int, purpose: str) -> str:
    return fingerprint([seed, purpose, row.source, row.language, row.id])


def text_of(row: TrainingRow) -> list[str]:
    """Return every text that a row trains on: for a pair, its prompt and both answers."""
    if isinstance(row, PreferencePair):
        return [*(turn.content for turn in row.prompt), row.chosen, row.rejected]
    if isinstance(row, LabelledCompletion):
        return [*(turn.content for turn in row.prompt), row.completion]
    if isinstance(row, TrainingPrompt):
        return [turn.content for turn in row.prompt]
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
