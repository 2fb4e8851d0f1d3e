"""Reading a YAML file into a typed specification, with the line of each mistake.

YAML is read by the rules of version 1.2: ``no`` is a language, ``1e-5`` is a number.
"""

import difflib
import re
import types
import typing
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError

from mixmerge.errors import SpecError

Spec = TypeVar("Spec", bound=BaseModel)
Place = tuple[str | int, ...]


class Problem(NamedTuple):
    """A mistake that types cannot see."""

    place: Place
    """The keys and indices that lead to it."""
    message: str


_MERGED = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalars of YAML 1.2, refusing a key that stands twice."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class declares it so

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
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
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise SpecError(f"{path}: no such file.") from None
    return parse_spec(text, kind, str(path), check)


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
    try:
        node = yaml.compose(text, _Loader)
        data = yaml.load(text, _Loader)  # noqa: S506 - a safe loader with other scalars
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: not valid YAML: {_yaml_problem(error)}.") from error
    if not isinstance(data, dict):
        raise SpecError(f"{name}: expected keys and values, found {type(data).__name__}.")
    lines = _lines(node) if node is not None else {}
    try:
        spec = kind.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = dict.fromkeys(_describe(problem, kind, data, lines, name) for problem in found)
        raise SpecError("\n".join(said)) from error
    mistakes = [_start(name, problem.place, lines) + problem.message for problem in check(spec)]
    if mistakes:
        raise SpecError("\n".join(mistakes))
    return spec


def _yaml_problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _lines(node: yaml.Node, place: Place = ()) -> dict[Place, int]:
    """Return the line (from 1) at which each place of the document stands."""
    lines = {place: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inside = (*place, key.value)
            lines |= _lines(value, inside)
            lines[inside] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines |= _lines(value, (*place, index))
    return lines


def _start(name: str, place: Place, lines: dict[Place, int]) -> str:
    """Say where: the file, the line of the nearest enclosing key, and the keys."""
    line = next((lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in lines), 1)
    where = ".".join(str(part) for part in place)
    return f"{name}, line {line}: {where + ': ' if where else ''}"


def _describe(
    problem: Any, kind: type[BaseModel], data: Any, lines: dict[Place, int], name: str
) -> str:
    location: Place = problem["loc"]
    place = _place_in(data, location)
    start = _start(name, place, lines)
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
