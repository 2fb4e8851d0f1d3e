"""Recipes on disk: mixmerge's own form, or mergekit's."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.files import first_problem
from mixmerge.merge.mergekit_yaml import from_documents
from mixmerge.merge.recipe import MergeRecipe


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key given twice is an error, and ``1e-1`` is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
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
    try:
        text = source.read_text(encoding="utf-8")
        documents = list(yaml.load_all(text, Loader=_StrictLoader))
    except FileNotFoundError:
        raise SpecError(f"{source}: no such file.") from None
    except IsADirectoryError:
        raise SpecError(f"{source}: is a folder; a recipe is a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, SpecError) as error:
        raise SpecError(f"{source}: not a YAML recipe: {error}") from error
    return _parse([document for document in documents if document is not None], str(source))


def _parse(documents: Sequence[Any], where: str) -> MergeRecipe:
    for document in documents or [None]:
        if not isinstance(document, Mapping):
            raise SpecError(f"{where}: a recipe is `key: value` lines, not {document!r}.")
    try:
        if "method" in documents[0] and len(documents) == 1:
            return MergeRecipe.model_validate(dict(documents[0]))
        return from_documents(documents)
    except ValidationError as error:
        raise SpecError(f"{where}: {_explained(error)}") from error
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error


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
