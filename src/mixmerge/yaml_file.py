"""The one reader of YAML: by the rules of version 1.2, strict, with the line of each mistake.

``no`` is a word (a language, say) and ``1e-5`` a number. A key that is given twice, a key that is
not text and an integer that older readers take for octal are errors, and so is text that would
fill the memory or the time: too many values, aliases of aliases, nesting without end.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from mixmerge.errors import SpecError
from mixmerge.spec_model import shown

_LARGEST = 10_000_000
"""Bytes of a file."""
_MOST_VALUES = 100_000
"""Values of a document, aliases counted wherever they are used: a few lines can mean billions.
So many take two seconds to read; a study of a thousand checkpoints has a fifth of them."""
_DEEPEST = 100
"""Collections within collections; the parser in C crashes at some thousands."""
_LARGEST_NUMBER = 2**63 - 1
"""Of whole numbers: beyond it, what counts or measures with them overflows."""
_LONGEST = 1000
"""Characters of a message: a file may hold any text, and messages show what was seen."""

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


class Mark(NamedTuple):
    """Where something was written."""

    file: str
    line: int
    """From 1."""


class Document(NamedTuple):
    """What a YAML file says, before it is checked."""

    name: str
    """Stands for the file in messages."""
    data: dict[str, Any]
    marks: dict[Place, Mark]
    """Where each place of ``data`` was written."""


_KINDS = {"null", "bool", "int", "float", "str", "seq", "map"}
"""What values are: dates, bytes and sets cannot be written as JSON, as identities are."""
_TEXT, _MERGED = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:  # the parser in C is ten times as fast: it counts when a study has hundreds of checkpoints
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """The safe loader with the scalars of YAML 1.2 and keys that are text, each given once."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - the base class declares it so
    yaml_constructors = {  # noqa: RUF012
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in _KINDS
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if key.tag == _MERGED:
                continue
            line = key.start_mark.line + 1
            if key.tag != _TEXT:
                shown = key.value if isinstance(key, yaml.ScalarNode) else "a collection"
                raise yaml.YAMLError(f"line {line}: a key must be text, not {shown}; quote it")
            if key.value in seen:
                raise yaml.YAMLError(f"line {line}: the key `{key.value}` is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """Read an integer; a leading zero means octal to YAML 1.1 and nothing to YAML 1.2."""
        if re.fullmatch(r"[-+]?0[0-7]+", node.value):
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"line {line}: `{node.value}` is octal to some: drop the zero")
        if len(node.value) > 20 or abs(int(node.value)) > _LARGEST_NUMBER:
            seen = f"line {node.start_mark.line + 1}: the number {node.value[:20]}…"
            raise yaml.YAMLError(f"{seen} is too large; at most {_LARGEST_NUMBER}")
        return int(node.value)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # PyYAML raises any of these where a tag (`!!float x`) is not true of its value.
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            line, kind = node.start_mark.line + 1, node.tag.rpartition(":")[2]
            raise yaml.YAMLError(f"line {line}: {node.value!r:.50} is no {kind}") from error


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
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.whole_number)


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


def read_text(path: Path) -> str:
    """Read a file.

    Raises:
        SpecError: there is none, it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise SpecError(f"{path}: is a folder, not a YAML file.") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(content) > _LARGEST:
        raise SpecError(f"{path}: has more than {_LARGEST:,} bytes.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SpecError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8."
        ) from None


def parse_document(text: str, name: str) -> Document:
    """Read YAML text of one document as keys and values, each with its line.

    Raises:
        SpecError: it is not YAML, or not keys and values.
    """
    found = _parsed(text, name)
    if len(found) > 1:
        raise SpecError(f"{name}: expected one document, found {len(found)}.")
    node, data = found[0] if found else (None, None)
    if node is None or not isinstance(data, dict):
        raise SpecError(f"{name}: expected keys and values, found {shown(data)}.")
    return Document(name, data, _marks(node, name))


def parse_documents(text: str, name: str) -> list[Any]:
    """Read YAML text as the values of its documents.

    Raises:
        SpecError: it is not YAML.
    """
    return [data for _, data in _parsed(text, name)]


def to_yaml(data: Any, width: int = 100) -> str:
    """Write plain data so that `parse_document`, and any reader of YAML 1.1, reads it back."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def one_line(text: str) -> str:
    """Return a message, shortened if need be, with line breaks and the like as Python escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in (text if len(text) < _LONGEST else f"{text[:_LONGEST]}…")
    )


def _parsed(text: str, name: str) -> list[tuple[yaml.Node, Any]]:
    """Return the root and the value of each document, parsed once."""
    try:
        _check_size(text)
        loader = _Loader(text)
        try:
            found = []
            while loader.check_node():
                node = loader.get_node()
                assert node is not None
                _measure(node, {})
                found.append((node, loader.construct_document(node)))
            return found
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: not valid YAML: {one_line(_reason(error, text))}.") from error


def _reason(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"line {text.count(chr(10), 0, error.position) + 1}: {error.reason}"
    return " ".join(str(error).split())


def _check_size(text: str) -> None:
    """Refuse text that is too deep or too long before anything is made of it."""
    depth = values = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if depth > _DEEPEST or values > _MOST_VALUES:
            raise _too_large(event.start_mark, depth, values)


def _too_large(mark: Any, depth: int, values: int) -> yaml.YAMLError:
    line = mark.line + 1
    if depth > _DEEPEST:
        return yaml.YAMLError(
            f"line {line}: nested too deeply, in more than {_DEEPEST} collections"
        )
    return yaml.YAMLError(f"line {line}: stands for {values:,} values; at most {_MOST_VALUES:,}")


def _measure(node: yaml.Node, known: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """Return how deep a node is and how many values it stands for, aliases followed wherever used.

    Raises:
        YAMLError: it is too deep or has too many, or one is a part of itself.
    """
    line = node.start_mark.line + 1
    if node in known:
        if not known[node][1]:
            raise yaml.YAMLError(f"line {line}: holds something within itself")
        return known[node]
    if isinstance(node, yaml.ScalarNode):
        try:
            node.value.encode()
        except UnicodeEncodeError:  # it can be escaped, and never be written
            raise yaml.YAMLError(f"line {line}: half of a character (a lone surrogate)") from None
    known[node] = 0, 0  # until all its parts are known
    collection = isinstance(node, yaml.CollectionNode)
    parts = node.value if collection else []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in parts for part in pair]
    sizes = [_measure(part, known) for part in parts]
    depth = collection + max((deep for deep, _ in sizes), default=0)
    values = 1 + sum(count for _, count in sizes)
    if depth > _DEEPEST or values > _MOST_VALUES:
        raise _too_large(node.start_mark, depth, values)
    known[node] = depth, values
    return known[node]


def _marks(node: yaml.Node, name: str) -> dict[Place, Mark]:
    """Return where each place of a document was written."""
    marks: dict[Place, Mark] = {}

    def note(node: yaml.Node, place: Place) -> None:
        marks[place] = Mark(name, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                note(value, (*place, key.value))
                marks[(*place, key.value)] = Mark(name, key.start_mark.line + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                note(value, (*place, index))

    note(node, ())
    return marks
