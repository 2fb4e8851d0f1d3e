"""Reading a YAML file into a typed specification, with the line of each mistake.

YAML is read by the rules of version 1.2: ``no`` is a language, ``1e-5`` is a number.
"""

import difflib
import re
import types
import typing
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError

from mixmerge.errors import SpecError

Spec = TypeVar("Spec", bound=BaseModel)
Place = tuple[str | int, ...]


class Mark(NamedTuple):
    """Where something was written."""

    file: str
    line: int
    """From 1."""


class Problem(NamedTuple):
    """A mistake that types cannot see."""

    place: Place
    """The keys and indices that lead to it."""
    message: str


class Document(NamedTuple):
    """What a YAML file says, before it is checked."""

    name: str
    """Stands for the file in messages."""
    data: dict[str, Any]
    marks: dict[Place, Mark]
    """Where each place of ``data`` was written."""


_MERGED = "tag:yaml.org,2002:merge"


if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:  # the parser in C is ten times as fast: it counts when a study has hundreds of checkpoints
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """The safe loader with the scalars of YAML 1.2, refusing a key that stands twice."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class declares it so

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # `{{ seed }}`: the base class refuses it
            if key.value in seen and key.tag != _MERGED:
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key `{key.value}` stands twice")
            seen.add(key.value)
        self.flatten_mapping(node)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
):
    _firsts: list[str | None] = [*_first] if _tag != "null" else [*_first, ""]
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _firsts
    )


class _Dumper(yaml.SafeDumper):
    """The safe dumper; it also quotes text that only the rules of version 1.2 take for a number."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        first: [
            *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
            *_Loader.yaml_implicit_resolvers.get(first, []),
        ]
        for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


# Without this, the loader reads a leading zero as octal.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def read_spec(
    path: Path, kind: type[Spec], check: Callable[[Spec], Iterable[Problem]] = lambda _: ()
) -> Spec:
    """Read a YAML file as one specification; see `parse_spec`.

    Raises:
        SpecError: the file is missing, is not YAML, or does not fit; the message has the file, the
            line, what was required and what was seen, and the nearest known key for an unknown one.
    """
    return parse_spec(read_text(path), kind, str(path), check)


def read_text(path: Path) -> str:
    """Read a file.

    Raises:
        SpecError: there is none, it cannot be read, or it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise SpecError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SpecError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8."
        ) from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from error


def parse_spec(
    text: str,
    kind: type[Spec],
    name: str,
    check: Callable[[Spec], Iterable[Problem]] = lambda _: (),
) -> Spec:
    """Read YAML text as one specification.

    Args:
        text: The content of the file.
        kind: The type to read.
        name: Stands for the file in messages.
        check: Finds mistakes that types cannot see.
    """
    return validated(parse_document(text, name), kind, check)


def parse_document(text: str, name: str) -> Document:
    """Read YAML text as keys and values, each with its line.

    Raises:
        SpecError: it is not YAML, or not keys and values.
    """
    try:
        node = yaml.compose(text, _Loader)
        data = yaml.load(text, _Loader)  # noqa: S506 - a safe loader with other scalars
        if node is None or not isinstance(data, dict):
            raise SpecError(f"{name}: expected keys and values, found {type(data).__name__}.")
        return Document(name, data, _marks(node, name))
    except RecursionError:
        raise SpecError(f"{name}: holds something within itself, or too deeply nested.") from None
    except (yaml.YAMLError, ValueError) as error:  # such as `!!int abc`
        raise SpecError(f"{name}: not valid YAML: {_yaml_problem(error)}.") from error


def validated(
    document: Document,
    kind: type[Spec],
    check: Callable[[Spec], Iterable[Problem]] = lambda _: (),
) -> Spec:
    """Read a document as one specification.

    Raises:
        SpecError: it does not fit; the message has every mistake with its file and line.
    """
    try:
        spec = kind.model_validate(document.data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = dict.fromkeys(_describe(problem, kind, document) for problem in found)
        raise SpecError("\n".join(said)) from error
    mistakes = [where(document, problem.place) + problem.message for problem in check(spec)]
    if mistakes:
        raise SpecError("\n".join(mistakes))
    return spec


def to_yaml(data: Any) -> str:
    """Write plain data so that `parse_document`, and any reader of YAML 1.1, reads it back."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _marks(node: yaml.Node, name: str, place: Place = ()) -> dict[Place, Mark]:
    """Return where each place of the document stands."""
    marks = {place: Mark(name, node.start_mark.line + 1)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*place, key.value)
            marks |= _marks(value, name, inside)
            marks[inside] = Mark(name, key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            marks |= _marks(value, name, (*place, index))
    return marks


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
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else "."
        return f"{start}unknown key; known here are {', '.join(f'`{k}`' for k in known)}{hint}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"{start}this key is required."
    if problem["type"] == "value_error":
        return f"{start}{message}."
    seen = repr(problem["input"])
    return f"{start}{message} (seen: {seen if len(seen) <= 60 else seen[:57] + '...'})."


def _place_in(data: Any, location: Place) -> Place:
    """Drop from a pydantic location what names a type of a union, not a key of the file."""
    place: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
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
