"""AlpacaEval: annotations, which say for each instruction which of two outputs a judge prefers.

``preference`` is from 1 (the reference's output is better) to 2 (the model's); 0 and 1.5 are ties.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixmerge.errors import DataError
from mixmerge.logs.scores import Asked, Format, Scores, Text, digest, number
from mixmerge.tables import Place, read_file

_TASK, _BOARD = "alpaca_eval", "alpaca_eval leaderboard"
_ERRORS = {"win_rate": "standard_error", "length_controlled_winrate": "lc_standard_error"}
"""The columns of a leaderboard's metrics and of their standard errors, in percent."""


def _recognises(path: Path, head: str) -> bool:
    if path.suffix == ".csv":
        return head.startswith((",win_rate,", "name,win_rate,"))
    return path.suffix == ".json" and '"instruction"' in head and '"generator_1"' in head


def _read(path: Path, asked: Asked) -> list[Scores]:
    if path.suffix == ".csv":
        return [*_leaderboard(path, asked)] if asked.wants(_BOARD) else []
    if not asked.wants(_TASK):
        return []
    tables: dict[str, Scores] = {}
    for place, row in read_file(path):
        model, reference = str(row.get("generator_2")), str(row.get("generator_1"))
        scores = tables.get(model)
        if scores is None:
            scores = tables[model] = Scores(
                model, _TASK, "win_rate", path, FORMAT.name, better="higher",
                bounds=(0.0, 1.0), version=f"against {reference}",
                settings={"annotator": str(row.get("annotator", ""))},
            )  # fmt: skip
        if scores.version != f"against {reference}":
            raise DataError(f"{place}: {model} is compared with {reference} here and "
                            f"{scores.version} before; give logs with one reference.")  # fmt: skip
        scores.items.append(_item(row))
        scores.values.append(_score(place, row))
        scores.contents.append(digest(str(row.get("instruction")), str(row.get("output_1"))))
    return [scores.check() for scores in tables.values()]


def _leaderboard(path: Path, asked: Asked) -> Iterator[Scores]:
    """Yield the totals of each model: a leaderboard has no items."""
    metric = asked.metric or "win_rate"
    if metric not in _ERRORS:
        raise DataError(f"{path}: there is no metric `{metric}` (there are: {', '.join(_ERRORS)}).")
    for place, row in read_file(path):
        value, error, count = (
            number(row.get(name), place, name) for name in (metric, _ERRORS[metric], "n_total")
        )
        if not math.isnan(value + error + count):
            yield Scores(
                str(row[next(iter(row))]), _BOARD, metric, path, FORMAT.name, items=["all"],
                values=[value / 100], better="higher", bounds=(0.0, 1.0),
                totals=(error / 100, int(count)), metrics=[*_ERRORS],
            )  # fmt: skip


def _item(row: dict[str, Any]) -> str:
    """Return the name of an item: AlpacaEval's are known by their instruction only."""
    return f"{row.get('dataset') or ''} {row.get('instruction')}".strip()


def _score(place: Place, row: dict[str, Any]) -> float:
    value = number(row.get("preference"), place, "preference")
    if value == 0:
        return 0.5
    if not (math.isnan(value) or 1 <= value <= 2):
        raise DataError(f"{place}: `preference` is 0 or from 1 to 2 (seen: {value:g}).")
    return value - 1


def _texts(scores: Scores, wanted: frozenset[str], asked: Asked) -> dict[str, Text]:
    del asked
    return {
        _item(row): Text(str(row["instruction"]), str(row["output_2"]), str(row["output_1"]))
        for _, row in read_file(scores.origin)
        if str(row["generator_2"]) == scores.model and _item(row) in wanted
    }


FORMAT = Format(
    name="alpaca_eval",
    patterns=("annotations.json", "leaderboard.csv"),
    recognises=_recognises,
    read=_read,
    texts=_texts,
)
