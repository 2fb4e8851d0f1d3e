"""Atomic files: atomic writes, JSON, and JSON Lines of typed rows.

No file appears under its final name before it is complete: content is written to a neighbour with
the suffix ``.partial``, flushed to disk, and renamed. So a reader never sees half a file, whatever
killed the writer.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mixmerge import json_text
from mixmerge.errors import DataError, ResourceError, SpecError
from mixmerge.spec_model import in_words, shown

PARTIAL = ".partial"

_LARGEST_JSON = 1 << 29
"""Bytes; ten times the largest tokenizers."""

Row = TypeVar("Row", bound=BaseModel)

_SMALL_FILE = 8192
"""Bytes."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_PLACE = (
    *(errno.EACCES, errno.EROFS, errno.EPERM, errno.EEXIST, errno.EISDIR, errno.ENOTDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP),
)


@contextmanager
def explained_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or an unwritable path into a `ResourceError` with ``path``."""
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise full_disk(path) from error
        if error.errno in _NO_PLACE:
            raise ResourceError(f"{path}: cannot write here ({error.strerror}).") from error
        raise


def is_full_disk(error: Exception) -> bool:
    """Whether the disk is full, even if a library only says so in its own words."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(os.strerror(code) in str(error) for code in _FULL)


def check_plain(path: Path) -> None:
    """Check that a path is free or a regular file: opening a pipe could block forever.

    Raises:
        ResourceError: something else is there.
    """
    with explained_disk_errors(path):
        if path.exists() and not path.is_file():
            raise ResourceError(f"{path}: is not a regular file. Remove what is there.")


def existing_parent(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def full_disk(path: Path) -> ResourceError:
    """Return the error for a full disk, with its free space."""
    there = os.statvfs(existing_parent(path))
    free = f"{there.f_bavail * there.f_frsize / 1e6:.1f} MB"
    if there.f_files > 0 == there.f_favail:
        free = "no further file"
    return ResourceError(
        f"{path}: the disk is full ({free} free). "
        "Free some space and run the same command again; finished work is kept."
    )


def no_room(folder: Path) -> bool:
    """Whether a folder's disk has no room for another small file."""
    there = os.statvfs(existing_parent(folder))
    return there.f_bavail * there.f_frsize < _SMALL_FILE or there.f_files > 0 == there.f_favail


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk: a rename then survives a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Flush a folder and everything in it; links are not followed."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            sync(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL)
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                # Data before name: some file systems would otherwise leave an empty file.
                os.fsync(stream.fileno())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        sync(path.parent)  # or the rename is lost with the power


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON (keys in the given order, no NaN) atomically."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        SpecError: the file is missing, cannot be read, or is not JSON; the message has the line.
    """
    try:
        size = path.stat().st_size
        if size == 0 and not path.is_file():
            raise SpecError(f"{path}: is not a regular file.")
        if size > _LARGEST_JSON:
            raise SpecError(f"{path}: has {size:,} bytes, more than {_LARGEST_JSON:,} for JSON.")
        text = path.read_text(encoding="utf-8")
        value = json_text.parse(text)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file.") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise SpecError(f"{path}: not valid JSON: {error}.") from error
    return value


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in one of our JSON files; empty if it is missing or damaged."""
    try:
        value = read_json(path)
    except SpecError:
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to ``path``; on success it is renamed to ``path``.

    It replaces an older folder of that name. On an error ``path`` is unchanged and the partial
    folder is removed.
    """
    partial = path.with_name(path.name + PARTIAL)
    with explained_disk_errors(path):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            sync_all(partial)
            if path.exists():
                shutil.rmtree(path)
            partial.rename(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(path.parent)


def write_rows(path: Path, rows: Iterable[BaseModel]) -> None:
    """Write typed rows as JSON Lines (UTF-8, one row per line) atomically."""
    write_text(path, "".join(row.model_dump_json() + "\n" for row in rows))


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read JSON Lines of one row type.

    Raises:
        DataError: the file is missing, or a line is not a row of this type. The message has the
            line number, the field and the value; no row of such a file is used.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}).") from error
    return [
        _parse(path, number, line, kind) for number, line in enumerate(lines, 1) if line.strip()
    ]


def _parse(path: Path, number: int, line: str, kind: type[Row]) -> Row:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise DataError(f"{path}, line {number}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a pydantic error as a sentence: field, requirement, value."""
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    field = field if len(field) <= 200 else f"{field[:199]}…"
    where = f"`{field}`: " if field else ""
    said = in_words(problem["type"], problem["msg"])
    return f"{where}{said} (seen: {shown(problem['input'], 80)})."
