"""Tables of scores: CSV, JSON Lines, JSON and Parquet with a row for each item of each model."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixmerge.errors import DataError
from mixmerge.logs.scores import Asked, Field, Format, Scores, Text, digest, number
from mixmerge.records.turns import PROMPTS
from mixmerge.spec_model import shown
from mixmerge.tables import Place, read_file
from mixmerge.yaml_file import one_line

_USUAL: dict[Field, tuple[str, ...]] = {
    "item": (
        *("item", "id", "item_id", "sample_id", "example_id", "question_id", "prompt_id", "doc_id"),
        *("idx", "index", "qid"),
    ),
    "model": ("model", "model_name", "model_id", "generator", "system"),
    "score": (
        *("score", "correct", "is_correct", "acc", "accuracy", "grade", "rating", "exact_match"),
        *("value", "reward"),
    ),
    "task": ("task", "task_name", "benchmark", "axis", "metric"),
    "cluster": ("cluster", "cluster_id", "group", "group_id", "passage_id"),
    "language": ("language", "lang", "locale"),
    "epoch": ("epoch", "repeat", "trial"),
    "seed": ("seed", "training_seed", "train_seed"),
}
"""Usual names of columns, in order of preference; capitals do not count."""
_PROMPTS = ("prompt", *PROMPTS, "input")
_ANSWERS = ("answer", "response", "output", "completion", "generation")
_TARGETS = ("target", "reference", "expected", "gold")


def _recognises(path: Path, head: str) -> bool:
    del head
    kinds = {".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"}
    return bool(kinds & {suffix.lower() for suffix in path.suffixes[-2:]})


def _read(path: Path, asked: Asked) -> list[Scores]:
    tables: dict[tuple[str, str], Scores] = {}
    columns: dict[Field, str] = {}
    question: str | None = None
    for place, row in read_file(path):
        if not columns:
            columns, question = _columns(path, row, asked), _first(row, _PROMPTS)
        task = _name(place, row, columns["task"]) if "task" in columns else columns["score"]
        if not asked.wants(task):
            continue
        model = _name(place, row, columns["model"]) if "model" in columns else path.stem
        scores = tables.get((model, task))
        if scores is None:
            scores = tables[model, task] = Scores(model, task, columns["score"], path, FORMAT.name)
        scores.items.append(_name(place, row, columns["item"]))
        scores.values.append(number(row.get(columns["score"]), place, columns["score"]))
        for field, column in (
            ("epoch", scores.epochs),
            ("seed", scores.seeds),
            ("cluster", scores.clusters),
            ("language", scores.languages),
        ):
            if field in columns:
                column.append(_name(place, row, columns[field]))
        if question is not None:
            scores.contents.append(digest(str(row[question])))
    if not columns:
        raise DataError(f"{path}: has no rows.")
    read = [scores.check() for scores in tables.values()]
    for scores in read[:1]:
        named = ", ".join(f"{field} `{column}`" for field, column in columns.items())
        scores.notes.append(f"{path.name} is read by its columns: {named}")
    return read


def _columns(path: Path, row: dict[str, Any], asked: Asked) -> dict[Field, str]:
    """Return the column of every field that the table has."""
    found: dict[Field, str] = {}
    for field, usual in _USUAL.items():
        named = asked.fields.get(field)
        if named is not None and named not in row:
            raise DataError(f"{path}: there is no column `{named}` (there are: {_listed(row)}).")
        column = named or _first(row, usual)
        if column is not None:
            found[field] = column
    for field in ("item", "score"):
        if field not in found:
            raise DataError(
                f"{path}: which column is the {field}? None has a usual name "
                f"({', '.join(_USUAL[field][:4])}, …; there are: {_listed(row)}). "
                f"Name it with --{field}."
            )
    return found


def _listed(row: Mapping[str, Any]) -> str:
    return one_line(", ".join(row))[:300]


def _first(row: dict[str, Any], usual: tuple[str, ...]) -> str | None:
    lower = {name.lower().strip(): name for name in reversed(row)}
    return next((lower[name] for name in usual if name in lower), None)


def _name(place: Place, row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if type(value) is str and value:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # whole numbers of a column with gaps, in Parquet and pandas
    if value is None or value == "" or isinstance(value, list | dict):
        raise DataError(f"{place}: `{column}` is a name or a number (seen: {shown(value)}).")
    return str(value)


def _texts(scores: Scores, wanted: frozenset[str], asked: Asked) -> dict[str, Text]:
    return dict(_texts_of_rows(scores, wanted, asked))


def _texts_of_rows(
    scores: Scores, wanted: frozenset[str], asked: Asked
) -> Iterator[tuple[str, Text]]:
    columns: dict[Field, str] = {}
    for place, row in read_file(scores.origin):
        columns = columns or _columns(scores.origin, row, asked)
        if "model" in columns and str(row[columns["model"]]) != scores.model:
            continue
        if "task" in columns and str(row[columns["task"]]) != scores.task:
            continue
        item = _name(place, row, columns["item"])
        if item in wanted:
            taken = {*columns.values()}
            cells = (
                _first({name: cell for name, cell in row.items() if name not in taken}, usual)
                for usual in (_PROMPTS, _ANSWERS, _TARGETS)
            )
            yield item, Text(*(str(row[cell]) if cell else "" for cell in cells))


FORMAT = Format(
    name="table",
    patterns=("*.csv", "*.tsv", "*.jsonl", "*.parquet"),
    recognises=_recognises,
    read=_read,
    texts=_texts,
    rank=2,
)
