"""Reading a YAML file into a typed specification, with the line of each mistake."""

import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Tag, ValidationError

from mixmerge.errors import SpecError
from mixmerge.spec_model import Problem, hint, quoted
from mixmerge.tables import shorten
from mixmerge.yaml_file import Document, Mark, Place, parse_document, read_text

Spec = TypeVar("Spec", bound=BaseModel)


Check = Callable[[Spec], Iterable[Problem]]


def read_spec(path: Path, kind: type[Spec]) -> Spec:
    """Read a YAML file as one specification; see `parse_spec`.

    Raises:
        SpecError: the file is missing, is not YAML, or does not fit; the message has the file, the
            line, what was required and what was seen, and the nearest known key for an unknown one.
    """
    return parse_spec(read_text(path), kind, str(path))


def parse_spec(text: str, kind: type[Spec], name: str, check: Check[Spec] = lambda _: ()) -> Spec:
    """Read YAML text as one specification; ``name`` stands for the file in messages."""
    return validated(parse_document(text, name), kind, check)


def validated(document: Document, kind: type[Spec], check: Check[Spec] = lambda _: ()) -> Spec:
    """Read a document as one specification; ``check`` finds mistakes that types cannot see.

    Raises:
        SpecError: it does not fit; the message has every mistake with its file and line.
    """
    try:
        spec = kind.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = dict.fromkeys(_describe(problem, kind, document) for problem in found)
        raise SpecError("\n".join(said)) from error
    mistakes = [where(document, place) + message for place, message in check(spec)]
    if mistakes:
        raise SpecError("\n".join(mistakes))
    return spec


def where(document: Document, place: Place) -> str:
    """Begin a message: the file, the line of the nearest enclosing key, and the keys."""
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
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{start}this key is required."
    if problem["type"] == "value_error":
        return f"{start}{message}."
    return f"{start}{message} (seen: {shorten(problem['input'])})."


def _place_in(data: Any, location: Place) -> Place:
    """Drop from a pydantic location what names a type of a union, not a key of the file."""
    place: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data)):
            data = data[part]
            place.append(part)
        elif last and isinstance(data, dict):
            place.append(part)
    return tuple(place)


def _known_keys(kind: type[BaseModel], location: Place) -> list[str]:
    found: list[Any] = [kind]
    for part in location:
        found = [below for candidate in found for below in _below(candidate, part)]
    models = [item for item in found for item in _alternatives(item) if _is_model(item)]
    return [name for model in models for name in model.model_fields]


def _below(annotation: Any, part: str | int) -> Iterable[Any]:
    """Yield the types that may stand at a key, an index or a union's branch of a type."""
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
