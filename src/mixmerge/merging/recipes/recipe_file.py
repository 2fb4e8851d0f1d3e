"""Recipes on disk: mixmerge's own form, or mergekit's."""

import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merging.recipes.mergekit_yaml import from_documents
from mixmerge.merging.recipes.recipe import MergeRecipe

_LARGEST = 10_000_000
"""Bytes of a recipe."""
_MOST_VALUES = 1_000_000
"""Values that a document stands for: a few lines of aliases can stand for billions."""
_LONGEST = 1000
"""Letters of a message: a recipe may hold any text, and messages show what was seen."""
_MERGE_KEY = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key given twice is an error, and ``1e-1`` is a number."""

    def construct_document(self, node: yaml.Node) -> Any:
        _count_values(node, {})
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key_node, _ in pairs:
            if key_node.tag == _MERGE_KEY:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise SpecError(f"line {key_node.start_mark.line + 1}: {key!r} is not a name.")
            if key in seen:
                raise SpecError(f"line {key_node.start_mark.line + 1}: `{key}` is given twice.")
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _count_values(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Return how many values a node stands for, aliases counted wherever they are used.

    Raises:
        SpecError: there are too many, or one is a part of itself.
    """
    line = f"line {node.start_mark.line + 1}"
    if node in known:
        if not known[node]:
            raise SpecError(f"{line}: an alias stands for what it is a part of.")
        return known[node]
    if isinstance(node, yaml.ScalarNode):
        node.value.encode()  # half of a character can be escaped, and never be written
    known[node] = 0  # until all its parts are known
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in parts for part in pair]
    known[node] = 1 + sum(_count_values(part, known) for part in parts)
    if known[node] > _MOST_VALUES:
        raise SpecError(f"{line}: stands for {known[node]:,} values; at most {_MOST_VALUES:,}.")
    return known[node]


def read_recipe(source: Path | Mapping[str, Any] | MergeRecipe) -> MergeRecipe:
    """Return a recipe from a YAML file, its parsed content, or a recipe.

    A file in mergekit's form may hold several documents: merges that feed each other.

    Raises:
        SpecError: the file is missing or wrong; the message has the file and the item.
    """
    if isinstance(source, MergeRecipe):
        return source
    if isinstance(source, Mapping):
        return _parse([source], "recipe")
    documents = _documents(source)
    return _parse([document for document in documents if document is not None], str(source))


def _documents(source: Path) -> list[Any]:
    try:
        with source.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise SpecError(f"more than {_LARGEST:,} bytes.")
        return list(yaml.load_all(content.decode("utf-8"), Loader=_StrictLoader))
    except FileNotFoundError:
        raise SpecError(f"{source}: no such file.") from None
    except IsADirectoryError:
        raise SpecError(f"{source}: is a folder; a recipe is a YAML file.") from None
    except OSError as error:
        raise SpecError(f"{source}: cannot be read ({error.strerror}).") from error
    except RecursionError:
        raise SpecError(f"{source}: not a YAML recipe: nested too deeply.") from None
    except (
        # PyYAML itself raises any of the latter where a tag (`!!int x`) is not true of its value.
        *(yaml.YAMLError, SpecError),
        *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    ) as error:
        reason = _one_line(" ".join(str(error).split()))
        raise SpecError(f"{source}: not a YAML recipe: {reason}") from error


def _parse(documents: Sequence[Any], where: str) -> MergeRecipe:
    for document in documents or [None]:
        if not isinstance(document, Mapping):
            seen = reprlib.repr(document)
            raise SpecError(f"{where}: a recipe is `key: value` lines, not {seen}.")
    try:
        if "method" in documents[0] and len(documents) == 1:
            return MergeRecipe.model_validate(dict(documents[0]))
        return from_documents(documents)
    except ValidationError as error:
        raise SpecError(f"{where}: {_one_line(_explained(error))}") from error
    except SpecError as error:
        raise SpecError(f"{where}: {_one_line(str(error))}") from error


def _one_line(text: str) -> str:
    """Return a text, if need be shortened, with line breaks and the like as Python writes them."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in (text if len(text) < _LONGEST else f"{text[:_LONGEST]}…")
    )


def _explained(error: ValidationError) -> str:
    """Say what is wrong in our own words where they are ours, else in pydantic's."""
    problem = error.errors(include_url=False)[0]
    if problem["type"] != "value_error":
        return first_problem(error)
    place = ".".join(str(part) for part in problem["loc"])
    return (f"`{place}`: " if place else "") + f"{problem['ctx']['error']}."


def recipe_text(recipe: MergeRecipe) -> str:
    """Return a recipe as YAML in mixmerge's own form; `read_recipe` reads it back."""
    content = recipe.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
