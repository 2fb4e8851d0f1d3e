"""Rows of real files, with their places."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

from mixmerge.errors import DataError
from mixmerge.tables import read_data_set, read_file

ROWS = [
    {"prompt": "One, two\nthree?", "answer": 'four "4"', "language": "en"},
    {"prompt": "एक?", "answer": "दो", "language": "hi"},
]


def write_jsonl(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_json(path, force_ascii=False)


def write_csv(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_csv(path)


def write_parquet(path: Path) -> None:
    datasets.Dataset.from_list(ROWS).to_parquet(path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `datasets` keep its cache in the test's folder and never ask the network."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def written(mark: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=mark).writerows([list(ROWS[0]), *(r.values() for r in ROWS)])
    return stream.getvalue()


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, ensure_ascii=False))


@pytest.mark.parametrize(
    ("name", "write", "places"),
    [
        ("d.jsonl", write_jsonl, ["line 1", "line 2"]),
        ("d.json", write_json, ["row 1", "row 2"]),
        ("d.csv", write_csv, ["line 3", "line 4"]),
        ("d.parquet", write_parquet, ["row 1", "row 2"]),
    ],
)
def test_files_written_by_datasets_read_back(
    tmp_path: Path, name: str, write: Callable[[Path], None], places: list[str]
) -> None:
    """Each format gives the rows that `datasets` wrote, with the place where each ends."""
    write(tmp_path / name)
    records = list(read_file(tmp_path / name))
    assert [row for _, row in records] == ROWS
    assert [str(place) for place, _ in records] == [
        f"{tmp_path / name}, {place}" for place in places
    ]


def test_parquet_keeps_nested_messages(tmp_path: Path) -> None:
    """Message lists of a Parquet file come back as lists of mappings."""
    rows = [{"messages": [{"role": "user", "content": "a"}]}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "d.parquet")
    assert [row for _, row in read_file(tmp_path / "d.parquet")] == rows


def test_csv_of_long_texts_and_empty_lines(tmp_path: Path) -> None:
    """A field may have any length, and an empty line is no row, wherever it stands."""
    text = "long " * 40_000
    (tmp_path / "d.csv").write_text(f"\na,b\n1,{text}\n\n2,x\n\n")
    records = list(read_file(tmp_path / "d.csv"))
    assert [row for _, row in records] == [{"a": "1", "b": text}, {"a": "2", "b": "x"}]
    assert [place.position for place, _ in records] == ["line 3", "line 5"]


def zst(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TABLE = 'prompt,answer,language\n"One, two\nthree?","four ""4""",en\nएक?,दो,hi\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("d.JSONL.zst", zst(LINES.encode())),
        ("d.ndjson.bz2", bz2.compress(LINES.encode())),
        ("d.csv.zst", zst(TABLE.encode()[:40]) + zst(TABLE.encode()[40:])),
        ("d.json.xz", lzma.compress(json.dumps(ROWS).encode())),
        ("d.jsonl", b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode()),
        ("d.jsonl", LINES.encode("utf-16")),
        ("d.json", LINES.encode()),
        ("d.jsonl", ("\n" + json.dumps(ROWS, indent=1)).encode()),
        ("d.csv", b"\xef\xbb\xbf" + TABLE.encode()),
        ("d.csv", written(";").encode()),
        ("d.tsv.gz", gzip.compress(written("\t").encode(), mtime=0)),
    ],
)
def test_files_are_read_as_people_have_them(tmp_path: Path, name: str, content: bytes) -> None:
    """Compressed, with a mark at the beginning, with Windows' line ends, and misnamed."""
    (tmp_path / name).write_bytes(content)
    assert [row for _, row in read_file(tmp_path / name)] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-9], "not a whole .gz file"),
        ("d.jsonl.gz", b"plain", "not a whole .gz file"),
        ("d.csv.zst", b"plain", "not a readable .zst file"),
        ("d.parquet.gz", b"", r"may be compressed, with .*seen: \.gz"),
        ("d.jsonl", b'{"a": 1}\n{"a": \n', r"d\.jsonl, line 2: not valid JSON"),
        ("d.jsonl", b'{"a": 1}\n\n[1]\n', r"line 3: a row is a JSON object \(seen: \[1\]\)"),
        ("d.jsonl", b'{"a": "\xff"}\n', "not UTF-8 text"),
        ("d.jsonl", b"{}\n" + b"9" * 5000, r"d\.jsonl, line 2: not valid JSON: Exceeds the limit"),
        ("d.jsonl", b"{}\n" + b"[" * 99_999, r"line 2: not valid JSON: nested too deeply"),
        ("d.json", b"9" * 5000, r"d\.json: not valid JSON: Exceeds the limit"),
        ("d.json", b"[" * 99_999, r"d\.json: not valid JSON: nested too deeply"),
        ("d.json", b'[{"a": 1},\n{]', r"d\.json, line 2: not valid JSON"),
        ("d.json", b'{"a": 1}', r"d\.json: a list of rows is required .*\.jsonl"),
        ("d.json", b"[{}, 1]", r"d\.json, row 2: a row is a JSON object \(seen: 1\)"),
        ("d.csv", b"a,b\n1,2\n1,2,3\n", r"d\.csv, line 3: the header names 2 columns.* has 3"),
        ("d.csv", b"a,b\n1,2\n1\n", r"line 3: the header names 2 columns.* has 1"),
        ("d.csv", b'a,b\n1,2\n"1,2\n', "line 3: not valid CSV"),
        ("d.parquet", b"PAR1 nothing", r"d\.parquet: not a readable Parquet file"),
        ("d.txt", b"a", r"data files end in \.jsonl, .*seen: \.txt"),
    ],
)
def test_a_broken_file_is_named_with_the_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    """What cannot be read is refused with the file and the line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_file(tmp_path / name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that does not exist is refused by name."""
    with pytest.raises(DataError, match=r"gone\.jsonl: no such file"):
        list(read_file(tmp_path / "gone.jsonl"))


def save_to_disk(folder: Path) -> None:
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)


def save_splits_to_disk(folder: Path) -> None:
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(folder)


def save_data_folder(folder: Path) -> None:
    folder.mkdir()
    write_parquet(folder / "train-00000-of-00001.parquet")


@pytest.mark.parametrize("save", [save_to_disk, save_splits_to_disk, save_data_folder])
def test_local_data_sets_read_back(tmp_path: Path, save: Callable[[Path], None]) -> None:
    """A saved data set, saved splits and a folder of Parquet files give the rows of `train`."""
    save(tmp_path / "set")
    records = list(read_data_set(str(tmp_path / "set"), split="train"))
    assert [row for _, row in records] == ROWS
    assert str(records[1][0]) == f"{tmp_path / 'set'} (train), row 2"


def test_a_split_is_chosen(tmp_path: Path) -> None:
    """Only the rows of the named split are read."""
    save_splits_to_disk(tmp_path / "set")
    records = list(read_data_set(str(tmp_path / "set"), split="test"))
    assert [row for _, row in records] == ROWS[:1]


@pytest.mark.parametrize("save", [save_splits_to_disk, save_data_folder])
def test_an_unknown_split_is_one_message(tmp_path: Path, save: Callable[[Path], None]) -> None:
    """A split that the data set lacks is refused, naming the split."""
    save(tmp_path / "set")
    with pytest.raises(DataError, match=r"could not be loaded \(split `validation`\)"):
        list(read_data_set(str(tmp_path / "set"), split="validation"))


def test_an_unreachable_data_set_is_one_message() -> None:
    """A hub data set that is not there is refused with what to check."""
    with pytest.raises(DataError, match=r"nobody/no-such-data-set: .* download it and name"):
        list(read_data_set("nobody/no-such-data-set", split="train"))
