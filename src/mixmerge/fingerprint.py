"""Stable hashes of plain values, files and folders, which identify everything that is stored.

Values with the same meaning have the same fingerprint: the order of keys does not count, but the
type of a number does (``1`` and ``1.0`` differ in a study file, and code may treat them
differently). Values without a stable form are refused.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mixmerge.errors import SpecError

T = TypeVar("T")
_CHUNK = 1 << 20
_MADE: dict[tuple[Callable[[Path], Any], Path], tuple[str, Any]] = {}
"""What `once` made, with the state of the files that it was made from."""


def canonical(value: Any) -> bytes:
    """Encode plain data (mappings, lists, strings, numbers, booleans, None) in one fixed form.

    Raises:
        TypeError: the value has something without a stable form (an object, a set, NaN).
    """
    _check(value, "value")
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _check(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{where} is {value}: only finite numbers have a fingerprint")
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}: keys must be strings")
            _check(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check(item, f"{where}[{index}]")
    else:
        raise TypeError(f"{where} is a {type(value).__name__}, which has no stable form")


def fingerprint(value: Any) -> str:
    """Return the SHA-256 of a plain value as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def file_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits.

    Raises:
        SpecError: this user may not read the file.
    """
    digest = hashlib.sha256()
    with _readable(path), path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of the names and contents of all files in a folder.

    Raises:
        SpecError: this user may not read a part of it.
    """
    files = files_below(folder)
    return fingerprint({str(path.relative_to(folder)): file_fingerprint(path) for path in files})


def state_of(path: Path) -> tuple[str, float]:
    """Return a fingerprint of the sizes and times of a file, or of all files in a folder.

    Also returns the time of the last change (Unix time).

    Raises:
        SpecError: this user may not read a part of it.
    """
    files = files_below(path) if path.is_dir() else [path]
    stats = [(file, file.stat()) for file in files]
    # ctime as well as mtime, since copying tools can set mtime back.
    seen = [[str(f), s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for f, s in stats]
    return fingerprint(seen), max((s.st_ctime for _, s in stats), default=0.0)


def once(make: Callable[[Path], T], path: Path) -> T:
    """Return ``make(path)``, which this process calls once while the files there do not change.

    Raises:
        SpecError: this user may not read a part of it.
    """
    state, _ = state_of(path)
    if _MADE.get((make, path), ("", None))[0] != state:
        _MADE[make, path] = state, make(path)
    made: T = _MADE[make, path][1]
    return made


def files_below(folder: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """Return all files in a folder and its subfolders, sorted; links are followed, but no cycles.

    Raises:
        SpecError: this user may not read a part of it.
    """
    real = folder.resolve()
    if real in above:
        return []
    files = []
    with _readable(folder):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                files += files_below(path, (*above, real))
            elif path.is_file():
                files.append(path)
    return files


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SpecError(
            f"{error.filename or path}: cannot be read ({error.strerror}). Check who owns it, and "
            "its mode."
        ) from error
