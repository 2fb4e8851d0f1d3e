"""Read, encode and check the rows of a training, and count them by language."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from mixmerge import files
from mixmerge.chat.options import CLOCK, USUAL_DATE
from mixmerge.chat.tokenizer import load_padding_tokenizer, stop_tokens
from mixmerge.errors import DataError
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder, RowModel
from mixmerge.spec_model import quoted
from mixmerge.training import parent, trl_compat
from mixmerge.training.encode import Encoded, Encoder
from mixmerge.training.objectives import OBJECTIVES
from mixmerge.training.report import RowCounts
from mixmerge.training.spec import TrainSpec


@dataclass(frozen=True)
class TrainingData:
    """Rows ready to train on."""

    tokenizer: Any
    encoded: Encoded
    counts: dict[str, RowCounts]
    """By language."""
    mask: str
    """How the assistant's tokens were found (see `mixmerge.training.encode`)."""
    max_length: int
    """The longest accepted row, in tokens."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Dropped rows, by reason."""
    stops: tuple[int, ...] = ()
    """The stop tokens of the trained model."""
    new_stops: tuple[str, ...] = ()
    """Those that are not in the model's files, as text."""
    advice: tuple[str, ...] = ()
    """What the objective says about the rows."""
    date: str | None = None
    """The date that the chat template was given; None if it does not ask for one."""


def read_data(
    spec: TrainSpec, folder: ModelFolder, rows_file: Path, progress: Progress
) -> TrainingData:
    """Read the rows and encode them with the model's tokenizer.

    Raises:
        DataError: there are no rows, a row is invalid or longer than ``max_length``, or the
            objective cannot be trained on these rows.
        ModelError: the tokenizer is invalid, has no chat template, or does not match the model.
        SpecError: ``max_length`` exceeds the model's context.
    """
    parent.check_architecture(folder)
    limit = parent.longest_row(folder, spec.max_length)
    tokenizer = load_padding_tokenizer(folder.path)
    template = trl_compat.training_template(tokenizer)
    encoder = Encoder(tokenizer, str(folder.path), template, spec.chat_template)
    given = _read_rows(spec, rows_file)
    if not given:
        raise DataError(f"{rows_file}: no rows to train on.")
    encoded = spec.objective.encode(encoder, given, progress)
    left_out = Counter(encoded.left_out.values())
    rows = [row for place, row in enumerate(given) if place not in encoded.left_out]
    if not rows:
        why = "; ".join(f"{n} rows: {reason}" for reason, n in left_out.items())
        raise DataError(f"{rows_file}: no row is left to train on ({why}).")
    parent.check_vocabulary(folder, tokenizer, encoded.columns)
    length = spec.objective.answer_length
    answer = length(spec.own) if length else 0
    encoded = replace(encoded, longest=encoded.longest + answer)
    fits = encoded.longest <= limit
    if not fits.all() and spec.overlong == "error":
        raise DataError(_too_long(rows_file, rows, encoded, limit, answer))
    if not fits.any():
        with_answers = f" with an answer of {answer} tokens" if answer else ""
        raise DataError(
            f"{rows_file}: every row{with_answers} is longer than max_length ({limit} tokens)."
        )
    left_out[f"longer than max_length ({limit} tokens)"] = int((~fits).sum())
    stops = stop_tokens(folder.path, folder.config, tokenizer)
    new = sorted(encoder.turn_ends - set(stops))
    kept = encoded.only(fits)
    advice: tuple[str, ...] = ()
    if spec.objective.check_rows is not None:
        try:
            advice = tuple(spec.objective.check_rows(kept.columns, spec.own))
        except ValueError as error:
            raise DataError(f"{rows_file}: {error}") from error
    return TrainingData(
        tokenizer=tokenizer,
        encoded=kept,
        advice=advice,
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


def _read_rows(spec: TrainSpec, file: Path) -> Sequence[Any]:
    """Read the objective's rows; where they are another objective's, say so."""
    wanted = spec.objective.rows
    try:
        return files.read_rows(file, wanted)
    except DataError as error:
        cause = error.__cause__
        seen = cause.errors()[0]["input"] if isinstance(cause, ValidationError) else None
        for other in {each.rows: None for each in OBJECTIVES.values()}:
            if isinstance(seen, dict) and {*other.model_fields} <= {*seen}:
                takers = quoted(name for name, each in OBJECTIVES.items() if each.rows is other)
                raise DataError(
                    f"{error} `method: {spec.method}` takes rows with {_own(wanted)}; this row has "
                    f"{_own(other)}, which {takers} take. `mixmerge mix` writes either."
                ) from error
        raise


def _own(rows: type[RowModel]) -> str:
    return quoted(name for name in rows.model_fields if name not in ("id", "source", "language"))


def _counts(given: Sequence[Any], used: Sequence[Any]) -> dict[str, RowCounts]:
    used_of = Counter(row.language for row in used)
    return {
        language: RowCounts(given=n, used=used_of[language], dropped=n - used_of[language])
        for language, n in sorted(Counter(row.language for row in given).items())
    }


def _too_long(
    rows_file: Path, rows: Sequence[Any], encoded: Encoded, limit: int, answer: int
) -> str:
    over = np.flatnonzero(encoded.longest > limit).tolist()
    by_language = Counter(rows[i].language for i in over)
    listed = ", ".join(f"{language}: {n}" for language, n in sorted(by_language.items()))
    first = over[0]
    room = f" (of which {answer} for the answer: `max_completion_length`)" if answer else ""
    return (
        f"{rows_file}: {len(over)} of {len(rows)} rows are longer than max_length ({limit} "
        f"tokens); by language {listed}. The first is row {rows[first].id!r} with "
        f"{encoded.longest[first]} tokens{room}. Raise `max_length` (the model's context "
        "permitting), shorten the rows, or set `overlong: drop` to train without them."
    )
