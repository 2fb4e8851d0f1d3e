"""Ways to break files: byte by byte, node by node of what they say, and as what they are on disk.

Every choice comes from the given `random.Random`, so a case is known by its number.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml


class Raw(str):
    """Text that stands in a document as it is."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object whose keys need not differ."""


HUGE = "9" * 5000
DEEP = "[" * 3000 + "]" * 3000
LEAVES: tuple[str, ...] = (
    *("null", "true", "false", "0", "1", "-1", "2", "3", "0.5", "-0.0", "1e-320", "1e308"),
    *("1e400", "NaN", "Infinity", "-Infinity", HUGE, f"-{HUGE}", "1" + "0" * 400, "4294967296"),
    *("9223372036854775807", "18446744073709551616", "1000000000000", "[]", "{}", "[[]]", "[0]"),
    *("[0, 1]", "[1, 0.5, 0]", '[true, "a"]', '[{"value": 1}]', DEEP, '{"a": {"a": {"a": 1}}}'),
    *('""', '"\\u0000"', '"\\ud800"', '"\\udc80"', '"\\n"', '"."', '".."', '"../a"', '"/dev/zero"'),
    *('"/"', '"~nobody-at-all/x"', '"a/b"', '"x/y@z"', '"a+b"', '"+"', '"é"', '"\\u0663"', '"💥"'),
    *('"a"', '"b"', '"base"', '"union"', '"F32"', '"F16"', '"BF16"', '"F64"', '"F8_E4M3"', '"I64"'),
    *('"float16"', '"model.safetensors"', '"linear"', '"ties"', '"slerp"', '"passthrough"'),
    *('"model.layers.999999999.weight"', '"model.layers.007.weight"', '"lm_head.weight"', '"*"'),
    *('"(a+)+$"', '"[nan"', '"\\u001b[2J"', '"[/red]"', '"__metadata__"', '"' + "x" * 70_000 + '"'),
)  # fmt: skip
YAML_LEAVES: tuple[str, ...] = (
    *(".nan", ".inf", "-.inf", "1_000", "0x10", "0o7", "1:60", "1e-1", "2020-13-45", "2020-01-01"),
    *("!!int foo", '!!int ""', "!!float x", "!!bool x", "!!timestamp x", "!!binary é", "!!map x"),
    *("!!python/object:os.system x", "!!set {a, b}", "!!omap [a: 1]", "*missing", "&x [*x]"),
    *("&x {path: *x}", "&x {model: *x}", "? [a]", "{? [a]: b}", "{<<: {weight: 1}}", "=", "<<"),
    *("&a [1,1,1,1,1,1,1,1]", "|\n  text", "'it''s'", "@x", "%x", "`x`", "~", "no", "on"),
)  # fmt: skip
BOMB = "\n".join(
    [f"x{0}: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    + [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 10)]
)
"""Ten lines that stand for 3.5 billion numbers."""


def mutated_bytes(content: bytes, rng: Random) -> bytes:
    """Change some bytes: flip, insert, remove, repeat, cut, lengthen."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 1, 2, 8, 100))
        match rng.randrange(7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1 if place < len(changed):
                changed[place] = rng.choice(b"\x00\xff[]{}:,\"'\\0919-.e \n&*!#|>\t")
            case 2:
                changed[place:place] = rng.randbytes(length)
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = changed[place : place + length]
            case 5:
                del changed[place:]
            case _:
                changed += rng.randbytes(length)
    return bytes(changed)


def parsed(text: str) -> Any:
    """Read JSON with its objects as `Pairs`."""
    return json.loads(text, object_pairs_hook=Pairs)


def text_of(node: Any) -> str:
    """Write what `parsed` reads, with `Raw` as it is."""
    if isinstance(node, Raw):
        return str(node)
    if isinstance(node, Pairs):
        return "{" + ", ".join(f"{text_of(key)}: {text_of(item)}" for key, item in node) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(text_of, node)) + "]"
    return json.dumps(node)


Place = tuple[Callable[[Any], None], Callable[[], None], Any]
"""Replaces a node, removes it, and the node."""


def _places(node: Any) -> Iterator[Place]:
    """Yield every value and key below a node."""
    if isinstance(node, Pairs):
        for number, (key, item) in enumerate(node):

            def value(new: Any, at: int = number, key: str = key) -> None:
                node[at] = (key, new)

            def name(new: Any, at: int = number, item: Any = item) -> None:
                node[at] = (new, item)

            def gone(at: int = number) -> None:
                del node[at]

            yield value, gone, item
            yield name, gone, key
            yield from _places(item)
    elif isinstance(node, list):
        for number, item in enumerate(node):

            def entry(new: Any, at: int = number) -> None:
                node[at] = new

            def removed(at: int = number) -> None:
                del node[at]

            yield entry, removed, item
            yield from _places(item)


def mutated_tree(tree: Any, rng: Random, leaves: tuple[str, ...] = LEAVES) -> str:
    """Change some nodes of a document: replace, remove, repeat, rename, exchange."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = list(_places(tree))
        if not places:
            return rng.choice(leaves)
        replace, remove, node = rng.choice(places)
        match rng.randrange(6):
            case 0:
                remove()
            case 1:
                replace(parsed_again(rng.choice(places)[2]))
            case 2 if isinstance(node, Pairs) and node:
                node.append((rng.choice(node)[0], Raw(rng.choice(leaves))))
            case 3 if isinstance(node, Pairs):
                node.append((Raw('"' + rng.choice("abxyz") + '"'), Raw(rng.choice(leaves))))
            case 4 if isinstance(node, (int, float)) and not isinstance(node, bool):
                replace(node + rng.choice((-1, 1, 0.5, 7, 2**40)))
            case _:
                replace(Raw(rng.choice(leaves)))
    return text_of(tree)


def parsed_again(tree: Any) -> Any:
    """Return a copy whose nodes are all different objects."""
    if isinstance(tree, Pairs):
        return Pairs((parsed_again(key), parsed_again(item)) for key, item in tree)
    return [parsed_again(item) for item in tree] if isinstance(tree, list) else tree


def mutated_json(content: bytes, rng: Random) -> bytes:
    """Change a JSON document as a tree, or else as bytes."""
    if rng.random() < 0.3:
        return mutated_bytes(content, rng)
    return mutated_tree(parsed(content.decode()), rng).encode("utf-8", "surrogatepass")


def mutated_safetensors(content: bytes, rng: Random) -> bytes:
    """Change the header as a tree, its length, or the file as bytes."""
    if rng.random() < 0.25:
        return mutated_bytes(content, rng)
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    if rng.random() < 0.15:
        return content[: 8 + length] + _other_numbers(data, rng)
    if rng.random() < 0.1:
        # Names may be anything, also where a model is whole and right.
        text = header.decode().replace("positions", rng.choice(ODD_NAMES))
    else:
        text = mutated_tree(parsed(header.decode()), rng)
    header = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        data = mutated_bytes(data, rng)
    size = len(header)
    if rng.random() < 0.1:
        size = rng.choice((0, size - 1, size + 1, 2**32, 2**63, 2**64 - 1, rng.randrange(2**64)))
    return size.to_bytes(8, "little") + header + data


def _other_numbers(data: bytes, rng: Random) -> bytes:
    """Change bytes of the data and not their number: the model stays whole, or holds NaN."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 4, 40))):
        changed[rng.randrange(len(changed))] = rng.choice(
            (0, 1, 63, 127, 128, 191, rng.randrange(256))
        )
    return bytes(changed)


ODD_NAMES = (
    *("../../evil", "/etc/passwd", "a/b\\\\c", "\\u0000", "\\ud800", "naïve.☃", "", ".", "x.00.y"),
    *("\\u001b[2Jx", "[bold]", "model.layers.99999999.w", "a.b", "x" * 5000, "9" * 50, "\\n"),
)  # fmt: skip


def mutated_recipe(content: bytes, rng: Random) -> bytes:
    """Change a recipe as a tree (written as JSON, which is YAML), or as text."""
    kind = rng.random()
    if kind < 0.35:
        return mutated_bytes(content, rng)
    if kind < 0.45:
        lines = content.decode().splitlines()
        place = rng.randrange(len(lines) + 1)
        extra = rng.choice((*YAML_LEAVES, BOMB, BOMB + "\nmodels: *x9", "---", "...", "a: 1"))
        match rng.randrange(3):
            case 0:
                lines.insert(place, extra)
            case 1 if place < len(lines):
                lines[place] = lines[place].partition(":")[0] + ": " + extra
            case _ if place < len(lines):
                lines[place] = rng.choice(("  ", " ", "- ", "")) + lines[place].strip()
        return "\n".join(lines).encode()
    trees = [parsed(json.dumps(document)) for document in yaml.safe_load_all(content)]
    chosen = rng.randrange(len(trees))
    texts = [text_of(tree) for tree in trees]
    texts[chosen] = mutated_tree(trees[chosen], rng, (*LEAVES, *YAML_LEAVES))
    return "\n---\n".join(texts).encode("utf-8", "surrogatepass")


def mutated(name: str, content: bytes, rng: Random) -> bytes:
    """Change the content of a file in a way that suits it."""
    if name.endswith(".safetensors"):
        return mutated_safetensors(content, rng)
    if name.endswith(".json"):
        return mutated_json(content, rng)
    return mutated_recipe(content, rng) if name.endswith(".yml") else mutated_bytes(content, rng)


def _sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.write((2**40).to_bytes(8, "little"))
        stream.truncate(2**41)


STRANGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,  # noqa: ARG005
    "empty": lambda path: path.write_bytes(b""),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link to itself": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to its folder": lambda path: path.symlink_to("."),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),
    "huge and sparse": _sparse,
}
"""What a file can be instead of a file; each is put where the file was."""
