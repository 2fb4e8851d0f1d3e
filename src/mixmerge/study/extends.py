"""Study files that extend others: ``extends: common.yaml`` at the top.

The named files come first, the extending file is put over them: sections such as ``checkpoints``
are joined name by name, and what stands at a name is replaced whole; so are the axes of
``evaluate``. A name with nothing at it is taken out. Several files are put over each other in the
order in which they are named. Every value keeps its file and line.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.study.spec_file import where
from mixmerge.yaml_file import Document, Place, parse_document, read_text

EXTENDS = "extends"


_DEEPEST = 50
"""Files that extend each other in a row."""


def read_extended(path: Path) -> Document:
    """Read a study file with all that it extends, relative to its folder.

    Raises:
        SpecError: a file is missing or not YAML, or files extend each other in a circle; the
            message has the file and line.
    """
    return _read(path, [], {})


def _read(path: Path, by: Sequence[Path], known: dict[Path, Document]) -> Document:
    """Read a file that the files ``by`` led to; those that are ``known`` are not read again."""
    if path.resolve() in known:
        return known[path.resolve()]
    document = parse_document(read_text(path), str(path))
    own = Document(document.name, dict(document.data), document.marks)
    parents = _parents(own, path)
    chain = [*by, path]
    if len(chain) > _DEEPEST:
        raise SpecError(f"{path}: more than {_DEEPEST} files extend each other in a row.")
    found = Document(str(path), {}, {})
    for parent in parents:
        if parent.resolve() in [file.resolve() for file in chain]:
            circle = " → ".join(str(file) for file in [*chain, parent])
            raise SpecError(f"{where(own, (EXTENDS,))}files extend each other: {circle}.")
        found = _over(found, _read(parent, chain, known))
    known[path.resolve()] = _over(found, own)
    return known[path.resolve()]


def _parents(document: Document, path: Path) -> list[Path]:
    """Take ``extends`` out of a document and return the files that it names."""
    named = document.data.pop(EXTENDS, [])
    names = named if isinstance(named, list) else [named]
    start = where(document, (EXTENDS,))
    files = []
    for name in names:
        if not isinstance(name, str):
            raise SpecError(f"{start}expected a file or a list of files (seen: {name!r}).")
        file = path.parent / name
        if not _is_file(file):
            near = difflib.get_close_matches(name, [f.name for f in path.parent.glob("*.yaml")], 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SpecError(f"{start}{file}: no such file.{hint}")
        files.append(file)
    return list(dict.fromkeys(reversed(files)))[::-1]  # of a file that is named twice, the last


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


_JOINED_INSIDE = frozenset({("evaluate", "axes"), ("selection", "prompts")})
"""Mappings inside a section whose names are joined, too."""


def _over(below: Document, above: Document) -> Document:
    """Put one document over another: sections name by name, everything else whole."""
    data, replaced = _joined(below.data, above.data, ())
    # Lines below a replaced value would point into a file that no longer says it.
    gone = set(replaced)
    kept = {
        place: mark
        for place, mark in below.marks.items()
        if not any(place[:length] in gone for length in range(1, len(place) + 1))
    }
    return Document(above.name, data, kept | above.marks)


def _joined(
    below: Mapping[str, Any], above: Mapping[str, Any], place: Place
) -> tuple[dict[str, Any], list[Place]]:
    """Return two mappings joined, and the places where the upper one replaced the lower."""
    data, replaced = dict(below), []
    for key, value in above.items():
        here = (*place, key)
        joins = len(here) == 1 or here in _JOINED_INSIDE
        if joins and isinstance(value, dict) and isinstance(data.get(key), dict):
            data[key], inside = _joined(data[key], value, here)
            replaced += inside
        elif value is None and key in data and place:
            del data[key]
            replaced.append(here)
        else:
            data[key] = value
            replaced.append(here)
    return data, replaced
