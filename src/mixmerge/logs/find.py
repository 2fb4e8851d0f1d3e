"""Find the logs in the folders and files that a user names, and read them."""

from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.scores import Asked, Format, Scores

_HEAD = 4096
"""Bytes that show the format of a file."""


def read_logs(path: Path, asked: Asked, only: str | None = None) -> list[Scores]:
    """Read all logs of a folder, or one file; of a model's logs on one task the latest.

    ``only`` is the name of a format, in which the logs have to be.

    Raises:
        DataError: nothing to read is there, or a log is wrong.
        ResourceError: the library that reads the format is not installed.
    """
    found: dict[tuple[str, str], Scores] = {}
    replaced: dict[tuple[str, str], int] = {}
    files = _files(path, [FORMATS[only]] if only else [*FORMATS.values()])
    for file, kind in files:
        for scores in kind.read(file, asked):
            key = scores.model, scores.task
            if key in found:
                replaced[key] = replaced.get(key, 0) + 1
            if key not in found or scores.made > found[key].made:
                found[key] = scores
    if not found:
        raise DataError(f"{path}: no scores of the task{'s' * (len(asked.tasks) > 1)} "
                        f"{', '.join(asked.tasks)}.")  # fmt: skip
    for key, count in replaced.items():
        latest = found[key]
        latest.notes.append(f"{latest.model} on {latest.task}: the latest of {count + 1} logs is "
                            f"read, {latest.origin.name}")  # fmt: skip
    return list(found.values())


def _files(path: Path, formats: list[Format]) -> list[tuple[Path, Format]]:
    if path.is_file():
        head = _head(path)
        for kind in formats:
            if kind.recognises(path, head):
                return [(path, kind)]
    elif path.is_dir():
        for kind in formats:
            for pattern in kind.patterns:
                candidates = [each for each in sorted(path.rglob(pattern)) if each.is_file()]
                mine = [each for each in candidates if kind.recognises(each, _head(each))]
                if mine:
                    return [(each, kind) for each in mine]
    else:
        raise DataError(f"{path}: no such file or folder.")
    known = ", ".join(kind.name for kind in formats)
    raise DataError(f"{path}: no log of evaluations was found here (known formats: {known}).")


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_HEAD).decode("utf-8-sig", errors="replace")
