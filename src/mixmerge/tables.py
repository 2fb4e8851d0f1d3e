"""Tables of data, row by row: JSON, CSV and Parquet files, and Hugging Face data sets.

Every reader yields a row's place (for messages) and the row as a mapping, and knows nothing about
the columns.
"""

import bz2
import codecs
import csv
import gzip
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from pydantic import Field, model_validator

from mixmerge import json_text
from mixmerge.errors import DataError
from mixmerge.spec_model import SpecModel, shown


class Place(NamedTuple):
    """The place of a row."""

    origin: str
    """Path of the file, or the data set and its split."""
    position: str
    """The line, or the number of the row (from 1)."""

    def __str__(self) -> str:
        return f"{self.origin}, {self.position}"

    @property
    def short(self) -> str:
        """The place without folders, which is the same on every machine."""
        return f"{Path(self.origin).name}, {self.position}"


Record = tuple[Place, dict[str, Any]]
"""A row's place and its columns."""


class DataSpec(SpecModel):
    """Where rows are read: in local files, or in a Hugging Face data set."""

    files: Path | list[Path] | dict[str, Path] | None = None
    """JSON Lines, JSON, CSV or Parquet files (told apart by suffix, ``.gz`` and ``.zst`` after it):
    one, several, or one a language."""
    hub: str | None = None
    """A data set of the Hugging Face hub, or a local data set folder."""
    config: str | None = None
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set; slices such as ``train[:1000]`` work."""
    revision: str | None = None
    """Commit or tag of the hub data set: give one, or a rerun may read other rows."""
    language: str | None = None
    """The language of all rows; wins over a column ``language`` that is not mapped."""
    language_names: dict[str, str] = Field(default_factory=dict)
    """How this data names the languages, e.g. ``{English: en}``."""

    @model_validator(mode="after")
    def _has_files(self) -> Self:
        if self.files in ([], {}):
            raise ValueError("`files` is empty: name at least one file")
        return self

    def paths(self) -> list[tuple[str | None, Path]]:
        """Return the files in order, each with the language that is fixed for it."""
        if isinstance(self.files, dict):
            return list(self.files.items())
        files = [self.files] if isinstance(self.files, Path) else self.files or []
        return [(self.language, path) for path in files]

    def records(self, first: int | None = None) -> Iterator[tuple[str | None, Record]]:
        """Yield every row with the language that its file or the whole data fixes, if one does.

        Of each file only the ``first`` rows, where that is asked.

        Raises:
            DataError: see `read_file` and `read_data_set`.
        """
        if self.hub is not None:
            where = {"config": self.config, "revision": self.revision}
            for record in read_data_set(self.hub, split=self.split, **where):
                yield self.language, record
        for language, path in [] if self.hub is not None else self.paths():
            for record in islice(read_file(path), first):
                yield language, record


def read_file(path: Path) -> Iterator[Record]:
    """Yield the rows of a file; its suffix decides the format.

    Text may be compressed (``.jsonl.gz``, ``.csv.zst``), may begin with a byte order mark, and may
    end its lines as on any system.

    Raises:
        DataError: the file is missing, of another format, or broken; the message has the line.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in _PACKED else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in _READERS or (packed and kind == ".parquet"):
        raise DataError(
            f"{path}: data files end in {', '.join(_READERS)}; text may be compressed, with "
            f"{', '.join(_PACKED)} after it (seen: {path.suffix or 'no suffix'})."
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file.")
    try:
        yield from _READERS[kind](path)
    except UnicodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}).") from error
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DataError(f"{path}: not a whole {packed} file ({error}).") from error
    except OSError as error:
        if not packed:
            raise
        raise DataError(f"{path}: not a readable {packed} file ({_first_line(error)}).") from error


def _zst(path: Path) -> Any:
    import pyarrow as pa

    return BufferedReader(pa.input_stream(str(path), compression="zstd"))


def _plain(path: Path) -> Any:
    return path.open("rb")


_PACKED: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".zst": _zst,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Byte order marks of what Windows PowerShell writes; UTF-8's own is left out by its codec."""


@contextmanager
def _text(path: Path, newline: str = "\n") -> Iterator[IO[str]]:
    """Open a text, compressed or not, in UTF-8 unless it begins as UTF-16."""
    with _PACKED.get(path.suffix.lower(), _plain)(path) as stream:
        encoding = _MARKS.get(stream.peek(2)[:2], "utf-8-sig")
        with TextIOWrapper(stream, encoding=encoding, newline=newline) as text:
            yield text


def _read_json(path: Path) -> Iterator[Record]:
    """Read objects one a line, or a list of them: files of either kind bear either's suffix."""
    with _text(path) as text:
        lines = ((number, line) for number, line in enumerate(text, 1) if line.strip())
        start = list(islice(lines, 2))
        first = start[0][1].strip() if start else "{}"
        one_document = len(start) == 1 or not first.endswith("}")
        if not first.startswith("[") and not (".json" in path.suffixes and one_document):
            for number, line in chain(start, lines):
                place = Place(str(path), f"line {number}")
                yield place, _object(_parse_json(line, place), place)
            return
    with _text(path) as text:
        rows = _parse_json(text.read(), path)
    if not isinstance(rows, list):
        raise DataError(
            f"{path}: a list of rows is required (seen: {shown(rows)}). "
            "One JSON object a line is the format .jsonl."
        )
    for number, row in enumerate(rows, 1):
        place = Place(str(path), f"row {number}")
        yield place, _object(row, place)


def _parse_json(text: str, place: Place | Path) -> Any:
    try:
        return json_text.parse(text, limited=False)
    except json.JSONDecodeError as error:
        where = place if isinstance(place, Place) else f"{place}, line {error.lineno}"
        raise DataError(f"{where}: not valid JSON: {error.msg}.") from error
    except ValueError as error:  # too deep, half a character, a number of thousands of digits
        raise DataError(f"{place}: not valid JSON: {error}.") from error


def _object(row: Any, place: Place) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{place}: a row is a JSON object (seen: {shown(row)}).")
    return row


def _read_csv(path: Path) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)  # one for the process; its default is 131,072 characters
    with _text(path, newline="") as stream:
        start = list(islice(stream, 20))
        # Names of columns hold none of these; spreadsheets write `;` where `,` is in numbers.
        marks = max(",;\t", key=next((line for line in start if line.strip()), "").count)
        reader = csv.reader(chain(start, stream), delimiter=marks, strict=True)
        rows = (fields for fields in reader if fields)  # an empty line, often the last, is none
        try:
            header = next(rows, [])
            for fields in rows:
                place = Place(str(path), f"line {reader.line_num}")
                if len(fields) != len(header):
                    raise DataError(
                        f"{place}: the header names {len(header)} columns, this row has "
                        f"{len(fields)}. Quote fields that contain commas or line breaks."
                    )
                yield place, dict(zip(header, fields, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num}: not valid CSV: {error}.") from error


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield Place(str(path), f"row {number}"), row
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({_first_line(error)}).") from error


_READERS: dict[str, Callable[[Path], Iterator[Record]]] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), _read_json),
    **dict.fromkeys((".csv", ".tsv"), _read_csv),
    ".parquet": _read_parquet,
}


def read_data_set(
    name: str, *, config: str | None = None, split: str, revision: str | None = None
) -> Iterator[Record]:
    """Yield the rows of a Hugging Face data set: a name on the hub, or a local folder.

    Folders written by `save_to_disk` and plain data folders both work.

    Raises:
        DataError: it cannot be loaded; the message has the reason that `datasets` gives.
    """
    for number, row in enumerate(_load(name, config, split, revision), 1):
        yield Place(f"{name} ({split})", f"row {number}"), row


def _load(name: str, config: str | None, split: str, revision: str | None) -> Any:
    import datasets

    datasets.disable_progress_bars()
    saved = any((Path(name) / marker).is_file() for marker in ("dataset_dict.json", "state.json"))
    try:
        if saved:
            loaded = datasets.load_from_disk(name)
            return loaded[split] if isinstance(loaded, datasets.DatasetDict) else loaded
        return datasets.load_dataset(name, config, split=split, revision=revision)
    # `datasets` raises a dozen unrelated classes for what is always the user's to fix: a wrong
    # name, split, configuration or revision, no network, no permission, unreadable files.
    except Exception as error:
        raise DataError(
            f"{name}: the data set could not be loaded (split `{split}`): "
            f"{_first_line(error)}. Check its name, `config`, `split` and `revision`, or download "
            "it and name the local folder."
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
