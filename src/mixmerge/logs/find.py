"""Find the logs in the folders and files that a user names, and read them."""

from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.logs import FORMATS
from mixmerge.logs.scores import Asked, Format, Scores, plain

_HEAD = 1 << 16
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
    _shorten(list(found.values()))
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
        for rank in sorted({kind.rank for kind in formats}):
            kinds = [kind for kind in formats if kind.rank == rank]
            if found := [(each, kind) for kind in kinds for each in _of_format(path, kind)]:
                return found
    else:
        raise DataError(f"{path}: no such file or folder.")
    known = ", ".join(kind.name for kind in formats)
    raise DataError(f"{path}: no log of evaluations was found here (known formats: {known}).")


def _of_format(folder: Path, kind: Format) -> list[Path]:
    """Return a format's files in a folder, by the first of its patterns that fits any."""
    for pattern in kind.patterns:
        files = [each for each in sorted(folder.rglob(pattern)) if each.is_file()]
        if mine := [each for each in files if kind.recognises(each, _head(each))]:
            return mine
    return []


def _shorten(logs: list[Scores]) -> None:
    """Call local models by the end of their paths, as long as it tells them apart."""
    names = list(dict.fromkeys(scores.model for scores in logs))
    parts = max(len(Path(name).parts) for name in names)
    for length in range(1, parts + 1):
        short = {name: plain(name, length) for name in names}
        if len({*short.values()}) == len(names):
            break
    for scores in logs:
        scores.model = short[scores.model]


def _head(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_HEAD).decode("utf-8-sig", errors="replace")
