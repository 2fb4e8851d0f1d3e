"""The rows of a training: read, encoded, checked and counted by language."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge import files
from mixmerge.chat.options import CLOCK, USUAL_DATE
from mixmerge.chat.tokenizer import load_tokenizer, stop_tokens
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
        left_out: rows dropped, by reason.
        stops: tokens at which the trained model must stop.
        new_stops: those of them that the model's files do not name yet, as they are written.
        date: what the chat template was told when it asked for the date; None where it does not.
    """

    tokenizer: Any
    encoded: Encoded
    counts: dict[str, RowCounts]
    mask: str
    max_length: int
    left_out: dict[str, int] = field(default_factory=dict)
    stops: tuple[int, ...] = ()
    new_stops: tuple[str, ...] = ()
    date: str | None = None


def read_data(
    spec: TrainSpec, folder: ModelFolder, rows_file: Path, progress: Progress
) -> TrainingData:
    """Read the rows and encode them with the model's tokenizer.

    Raises:
        DataError: no rows, a broken row, or a row longer than ``max_length``.
        ModelError: the tokenizer is broken, has no chat template or another vocabulary.
        SpecError: ``max_length`` exceeds the model's context.
    """
    parent.check_architecture(folder)
    limit = parent.longest_row(folder, spec.max_length)
    tokenizer = _tokenizer(folder)
    template = trl_compat.training_template(tokenizer)
    encoder = Encoder(tokenizer, str(folder.path), template, spec.chat_template)
    given: Sequence[Any] = files.read_rows(rows_file, spec.objective.rows)
    if not given:
        raise DataError(f"{rows_file}: no rows to train on.")
    encoded = spec.objective.encode(encoder, given, progress)
    left_out = Counter(encoded.left_out.values())
    rows = [row for place, row in enumerate(given) if place not in encoded.left_out]
    if not rows:
        why = "; ".join(f"{n} rows: {reason}" for reason, n in left_out.items())
        raise DataError(f"{rows_file}: no row is left to train on ({why}).")
    parent.check_vocabulary(folder, tokenizer, encoded.columns)
    fits = encoded.longest <= limit
    if not fits.all() and spec.overlong == "error":
        raise DataError(_too_long(rows_file, rows, encoded, limit))
    if not fits.any():
        raise DataError(f"{rows_file}: every row is longer than max_length ({limit} tokens).")
    left_out[f"longer than max_length ({limit} tokens)"] = int((~fits).sum())
    stops = stop_tokens(folder.path, folder.config, tokenizer)
    new = sorted(encoder.turn_ends - set(stops))
    return TrainingData(
        tokenizer=tokenizer,
        encoded=encoded.only(fits),
        counts=_counts(given, [row for row, fit in zip(rows, fits, strict=True) if fit]),
        left_out={reason: n for reason, n in left_out.items() if n},
        mask=encoder.mask,
        max_length=limit,
        stops=(*stops, *new),
        new_stops=tuple(tokenizer.decode([token]) for token in new),
        date=str(spec.chat_template.get(CLOCK, USUAL_DATE))
        if encoder.chat.template.asks_for_the_date
        else None,
    )


def _counts(given: Sequence[Any], used: Sequence[Any]) -> dict[str, RowCounts]:
    used_of = Counter(row.language for row in used)
    return {
        language: RowCounts(given=n, used=used_of[language], dropped=n - used_of[language])
        for language, n in sorted(Counter(row.language for row in given).items())
    }


def _tokenizer(folder: ModelFolder) -> Any:
    tokenizer = load_tokenizer(folder.path)
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
