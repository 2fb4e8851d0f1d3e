"""The one YAML reader: YAML 1.2, strict, with line numbers in errors.

``no`` is text (a language, say) and ``1e-5`` a number. Duplicate keys, keys that are not text and
integers that older readers take for octal are errors, and so is text that would exhaust memory or
time: too many values, aliases of aliases, endless nesting.
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
"""Values of a document, with aliases counted wherever they are used: a few lines can mean billions.
This many take two seconds to read; a study of a thousand checkpoints has a fifth of them."""
_DEEPEST = 100
"""Levels of nesting; the C parser crashes at a few thousand."""
_LARGEST_NUMBER = 2**63 - 1
"""Beyond this, integers overflow in NumPy and PyTorch."""
_LONGEST = 1000
"""Characters of a message, which may quote text from the file."""

Place = tuple[str | int, ...]
"""The keys and indices that lead to a value."""


class Mark(NamedTuple):
    """The position of a value."""

    file: str
    line: int
    """From 1."""


class Document(NamedTuple):
    """The content of a YAML file, not yet validated."""

    name: str
    """For messages."""
    data: dict[str, Any]
    marks: dict[Place, Mark]
    """Line of each value in ``data``."""


_KINDS = {"null", "bool", "int", "float", "str", "seq", "map"}
"""Types of values; dates, bytes and sets are not JSON, which identities need."""
_TEXT, _MERGED = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"

if TYPE_CHECKING:
    _Base = yaml.SafeLoader
else:  # the C parser is ten times faster, which matters for hundreds of checkpoints
    _Base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """The safe loader with YAML 1.2 scalars and unique text keys."""

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
        """Read an integer; a leading zero means octal in YAML 1.1 and nothing in YAML 1.2."""
        if re.fullmatch(r"[-+]?0[0-7]+", node.value):
            line = node.start_mark.line + 1
            octal = f"`{node.value}` is octal in YAML 1.1: drop the leading zero"
            raise yaml.YAMLError(f"line {line}: {octal}")
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
            wrong = f"{node.value!r:.50} is not a valid {kind}"
            raise yaml.YAMLError(f"line {line}: {wrong}") from error


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
    """The safe dumper, which also quotes text that is a number only in YAML 1.2."""

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
    """Read a UTF-8 file.

    Raises:
        SpecError: it does not exist, cannot be read, is too large, or is not UTF-8.
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
    """Parse YAML text of one mapping, with the line of each value.

    Raises:
        SpecError: it is not YAML, or not a mapping.
    """
    found = _parsed(text, name)
    if len(found) > 1:
        raise SpecError(f"{name}: expected one document, found {len(found)}.")
    node, data = found[0] if found else (None, None)
    if node is None or not isinstance(data, dict):
        raise SpecError(f"{name}: expected keys and values, found {shown(data)}.")
    return Document(name, data, _marks(node, name))


def parse_documents(text: str, name: str) -> list[Any]:
    """Parse YAML text of several documents.

    Raises:
        SpecError: it is not YAML.
    """
    return [data for _, data in _parsed(text, name)]


def to_yaml(data: Any, width: int = 100) -> str:
    """Return plain data as YAML that `parse_document` and any YAML 1.1 reader read back."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)


def one_line(text: str) -> str:
    """Return a message, shortened if needed, with unprintable characters as Python escapes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in (text if len(text) < _LONGEST else f"{text[:_LONGEST]}…")
    )


def _parsed(text: str, name: str) -> list[tuple[yaml.Node, Any]]:
    """Return the root node and the value of each document."""
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
    """Refuse text that is too deep or too long before building anything from it."""
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
    """Return a node's depth and number of values, counting aliases wherever they are used."""
    line = node.start_mark.line + 1
    if node in known:
        if not known[node][1]:
            raise yaml.YAMLError(f"line {line}: contains itself")
        return known[node]
    if isinstance(node, yaml.ScalarNode):
        try:
            node.value.encode()
        except UnicodeEncodeError:  # it can be escaped, and never be written
            raise yaml.YAMLError(f"line {line}: a lone surrogate is not a character") from None
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
    """Return the position of each value in a document."""
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
