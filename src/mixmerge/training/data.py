"""The rows of a training: read, encoded, checked and counted by language."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge import files
from mixmerge.errors import DataError, ModelError
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder
from mixmerge.training import parent, trl_compat
from mixmerge.training.encode import Encoded, Encoder
from mixmerge.training.report import RowCounts
from mixmerge.training.spec import TrainSpec


@dataclass(frozen=True)
class TrainingData:
    """Rows ready to train on.

    Attributes:
        counts: rows given, used and dropped, by language.
        mask: how the assistant's tokens were found (see `mixmerge.training.encode`).
        max_length: longest row accepted, in tokens.
    """

    tokenizer: Any
    encoded: Encoded
    counts: dict[str, RowCounts]
    mask: str
    max_length: int


def read_data(
    spec: TrainSpec, folder: ModelFolder, rows_file: Path, progress: Progress
) -> TrainingData:
    """Read the rows and encode them with the model's tokenizer.

    Raises:
        DataError: no rows, a broken row, or a row longer than ``max_length``.
        ModelError: the tokenizer is broken, has no chat template or another vocabulary.
        SpecError: ``max_length`` exceeds the model's context.
    """
    limit = parent.context_length(folder, spec.max_length)
    tokenizer = _tokenizer(folder)
    encoder = Encoder(tokenizer, str(folder.path), trl_compat.training_template(tokenizer))
    rows: Sequence[Any] = files.read_rows(rows_file, spec.objective.rows)
    if not rows:
        raise DataError(f"{rows_file}: no rows to train on.")
    encoded = spec.objective.encode(encoder, rows, progress)
    parent.check_vocabulary(folder, tokenizer, encoded.columns)
    fits = encoded.longest <= limit
    if not fits.all() and spec.overlong == "error":
        raise DataError(_too_long(rows_file, rows, encoded, limit))
    if not fits.any():
        raise DataError(f"{rows_file}: every row is longer than max_length ({limit} tokens).")
    given = Counter(row.language for row in rows)
    used = Counter(row.language for row, fit in zip(rows, fits, strict=True) if fit)
    counts = {
        language: RowCounts(given=n, used=used[language], dropped=n - used[language])
        for language, n in sorted(given.items())
    }
    return TrainingData(tokenizer, encoded.only(fits), counts, encoder.mask, limit)


def _tokenizer(folder: ModelFolder) -> Any:
    from transformers import AutoTokenizer

    # The libraries raise what they like for a bad file.
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder.path)
    except Exception as error:
        raise ModelError(f"{folder.path}: its tokenizer does not load: {error}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"{folder.path}: its tokenizer has neither a padding nor an end-of-text token; "
                "name one in tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _too_long(rows_file: Path, rows: Sequence[Any], encoded: Encoded, limit: int) -> str:
    over = np.flatnonzero(encoded.longest > limit).tolist()
    by_language = Counter(rows[i].language for i in over)
    listed = ", ".join(f"{language}: {n}" for language, n in sorted(by_language.items()))
    first = over[0]
    return (
        f"{rows_file}: {len(over)} of {len(rows)} rows are longer than max_length ({limit} "
        f"tokens); by language {listed}. The first is row {rows[first].id!r} with "
        f"{encoded.longest[first]} tokens. Raise `max_length` (the model's context permitting), "
        "shorten the rows, or set `overlong: drop` to train without them."
    )
