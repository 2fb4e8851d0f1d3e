"""Read a YAML file into a typed specification; errors give the line.

A study file may extend others, with ``extends: common.yaml`` at the top; it overrides them.
Sections such as ``checkpoints``, and the axes of ``evaluate``, are merged name by name, and the
value of a name is replaced whole. A name with an empty value is removed. Of several files, later
ones override earlier ones.
"""

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Tag, ValidationError

from mixmerge.errors import SpecError
from mixmerge.spec_model import Problem, hint, in_words, quoted, shown
from mixmerge.yaml_file import Document, Mark, Place, one_line, parse_document, read_text

Spec = TypeVar("Spec", bound=BaseModel)

EXTENDS = "extends"


Check = Callable[[Spec], Iterable[Problem]]


def read_spec(path: Path, kind: type[Spec]) -> Spec:
    """Read a YAML file as one specification; see `parse_spec`.

    Raises:
        SpecError: the file is missing, is not YAML, or does not fit; the message gives the file,
            the line, what was required and seen, and the nearest key to an unknown one.
    """
    return parse_spec(read_text(path), kind, str(path))


def parse_spec(text: str, kind: type[Spec], name: str, check: Check[Spec] = lambda _: ()) -> Spec:
    """Read YAML text as one specification, called ``name`` in messages."""
    return validated(parse_document(text, name), kind, check)


def validated(document: Document, kind: type[Spec], check: Check[Spec] = lambda _: ()) -> Spec:
    """Read a document as one specification; ``check`` finds what types cannot.

    Raises:
        SpecError: it does not fit; the message lists every mistake with its file and line.
    """
    try:
        spec = kind.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = dict.fromkeys(_describe(problem, kind, document) for problem in found)
        raise SpecError("\n".join(map(one_line, said))) from error
    mistakes = [one_line(where(document, place) + message) for place, message in check(spec)]
    if mistakes:
        raise SpecError("\n".join(mistakes))
    return spec


def where(document: Document, place: Place) -> str:
    """Return the start of a message: the file, the line of the nearest key, and the keys."""
    marks = document.marks
    enclosing = (place[:n] for n in range(len(place), -1, -1))
    mark = next((marks[keys] for keys in enclosing if keys in marks), Mark(document.name, 1))
    keys = ".".join(str(part) for part in place)
    return f"{mark.file}, line {mark.line}: {keys + ': ' if keys else ''}"


def _describe(problem: Any, kind: type[BaseModel], document: Document) -> str:
    location: Place = problem["loc"]
    start = where(document, _place_in(document.data, location))
    if problem["type"] == "extra_forbidden":
        known = _known_keys(kind, location[:-1])
        near = hint(str(location[-1]), known)
        return f"{start}unknown key; known here are {quoted(known)}{near}"
    message = in_words(problem["type"], str(problem["msg"]))
    if problem["type"] == "missing":
        return f"{start}this key is required."
    if problem["type"] == "value_error":
        return f"{start}{message}."
    return f"{start}{message} (seen: {shown(problem['input'])})."


def _place_in(data: Any, location: Place) -> Place:
    """Drop from a pydantic location the parts that name a type of a union, not a key."""
    place: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data)):
            data = data[part]
            place.append(part)
        elif last and isinstance(data, dict) and " " not in str(part):  # as the tags of `one_of`
            place.append(part)
    return tuple(place)


def _known_keys(kind: type[BaseModel], location: Place) -> list[str]:
    found: list[Any] = [kind]
    for part in location:
        found = [below for candidate in found for below in _below(candidate, part)]
    models = [item for item in found for item in _alternatives(item) if _is_model(item)]
    return [name for model in models for name in model.model_fields]


def _below(annotation: Any, part: str | int) -> Iterable[Any]:
    """Yield the types that a type allows at a key, at an index or in a union's branch."""
    for branch in _branches(annotation):
        if any(isinstance(note, Tag) and note.tag == part for note in _notes(branch)):
            yield branch
    for item in _alternatives(annotation):
        origin, arguments = typing.get_origin(item), typing.get_args(item)
        if _is_model(item):
            if part in item.model_fields:
                yield item.model_fields[part].annotation
            elif part == item.__name__:
                yield item
        elif origin in (dict, list, tuple) and arguments:
            yield arguments[-1] if origin is dict else arguments[0]


def _notes(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _branches(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union; of any other type, the type itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    if _notes(annotation):
        inner = typing.get_args(annotation)[0]
        return _branches(inner) if _branches(inner) != (inner,) else (annotation,)
    return (annotation,)


def _alternatives(annotation: Any) -> list[Any]:
    """Return the plain types that a type allows, without annotations."""
    branches = _branches(annotation)
    if len(branches) > 1:
        return [one for branch in branches for one in _alternatives(branch)]
    return [typing.get_args(annotation)[0] if _notes(annotation) else annotation]


def _is_model(item: Any) -> bool:
    return isinstance(item, type) and issubclass(item, BaseModel)


_DEEPEST = 50
"""Longest chain of files that extend each other."""


def read_extended(path: Path) -> Document:
    """Read a study file and the files that it extends, relative to its folder.

    Raises:
        SpecError: a file is missing or not YAML, or files extend each other in a circle; the
            message gives the file and line.
    """
    return _read(path, [], {})


def _read(path: Path, by: Sequence[Path], known: dict[Path, Document]) -> Document:
    """Read a file that the chain ``by`` extends; ``known`` files are not read again."""
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
            raise SpecError(f"{start}expected a file or a list of files (seen: {shown(name)}).")
        file = path.parent / name
        if not _is_file(file):
            near = difflib.get_close_matches(name, [f.name for f in path.parent.glob("*.yaml")], 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise SpecError(f"{start}{file}: no such file.{hint}")
        files.append(file)
    return list(dict.fromkeys(reversed(files)))[::-1]  # a file named twice counts at its last place


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


_JOINED_INSIDE = frozenset({("evaluate", "axes"), ("selection", "prompts")})
"""Mappings inside a section that are merged name by name, too."""


def _over(below: Document, above: Document) -> Document:
    """Override one document by another: sections name by name, everything else whole."""
    data, replaced = _joined(below.data, above.data, ())
    # Marks below a replaced value would point to lines that no longer apply.
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
    """Return two mappings merged, and the places where the upper one replaced the lower."""
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
