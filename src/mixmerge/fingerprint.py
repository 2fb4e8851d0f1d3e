"""Stable hashes of plain values, files and folders: the identity of everything that is stored.

Two values have the same fingerprint when they mean the same: the order of keys does not count,
the type of a number does (``1`` and ``1.0`` are written differently in a study file and may be
treated differently by whoever reads them). What has no stable form is refused.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from mixmerge.errors import ResourceError

_CHUNK = 1 << 20


def canonical(value: Any) -> bytes:
    """Write plain data (mappings, lists, strings, numbers, booleans, None) in one fixed form.

    Raises:
        TypeError: the value holds something without a stable form (an object, a set, NaN).
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
        ResourceError: this user may not read it.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except PermissionError as error:
        raise ResourceError(
            f"{path}: cannot be read ({error.strerror}); give this user the right to read it."
        ) from error
    return digest.hexdigest()


def folder_fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder: the names and contents of the files below it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return fingerprint({str(path.relative_to(folder)): file_fingerprint(path) for path in files})
