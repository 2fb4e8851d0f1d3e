"""Recipe files, in mixmerge's own format or mergekit's.

Files follow YAML 1.2, mergekit's own reader 1.1. Where they differ, ``yes``, ``no``, ``on`` and
``off`` are still switches where a switch is expected (see `mergekit`) and text elsewhere, as are
hexadecimal numbers; octal numbers are refused.
"""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.mergekit import from_mergekit
from mixmerge.merging.recipes.recipe import MergeRecipe, explained, in_order, stage_of
from mixmerge.yaml_file import one_line, parse_documents, read_text, to_yaml

Document = Mapping[str, Any]


def read_recipe(source: Path | Document | MergeRecipe, *, strict: bool = False) -> MergeRecipe:
    """Return a recipe from a YAML file, its parsed content, or a recipe.

    A mergekit file may have several documents: merges that use each other. Keys without effect are
    listed in the notes of the recipe and its stages, or refused if ``strict``.

    Raises:
        SpecError: the file is missing or wrong; the message has the file and the item.
    """
    if isinstance(source, MergeRecipe):
        return source
    if isinstance(source, Mapping):
        where, documents = "recipe", [source]
    else:
        where, documents = str(source), parse_documents(read_text(source), str(source))
    recipe = _parse([document for document in documents if document is not None], where)
    notes = [note for one in (*recipe.stages.values(), recipe) for note in one.notes]
    if strict and notes:
        raise SpecError("\n".join(f"{where}: {one_line(note)}." for note in notes))
    return recipe


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
        raise SpecError(f"{where}: {one_line(explained(error))}") from error
    except SpecError as error:
        raise SpecError(f"{where}: {one_line(str(error))}") from error


def from_documents(documents: Sequence[Document]) -> MergeRecipe:
    """Convert the documents of a mergekit YAML file.

    Documents with a ``name`` may be used as models by others. The one without is the result; if all
    have one, the result is the document that no other uses.

    Raises:
        SpecError: a key is unknown or not supported, a value is wrong, or the documents cannot be
            put in order.
    """
    if len(documents) == 1:
        return from_mergekit(documents[0])
    named: dict[str, Document] = {}
    results = [document for document in documents if "name" not in document]
    for document in documents:
        name = document.get("name")
        if document in results:
            continue
        if not isinstance(name, str) or name in named:
            raise SpecError(f"name: must be a word that no other document has, not {name!r}.")
        named[name] = document
    recipes = {name: _stage(name, document) for name, document in named.items()}
    ordered = in_order({name: recipe.references for name, recipe in recipes.items()})
    if not results:
        used = {stage_of(text) for recipe in recipes.values() for text in recipe.references}
        results = [named.pop(name) for name in ordered if name not in used]
    if len(results) != 1:
        raise SpecError(
            f"{len(results)} documents could be the result: only it may have no `name`, or if all "
            "have one, be used by no other."
        )
    return from_mergekit(results[0], {name: recipes[name] for name in ordered if name in named})


def _stage(name: str, document: Document) -> MergeRecipe:
    try:
        return from_mergekit(document)
    except SpecError as error:
        raise SpecError(f"document `{name}`: {error}") from error


def with_adapter(recipe: MergeRecipe, rank: int | str) -> MergeRecipe:
    """Return a recipe that writes an adapter of a rank, or of the rank that is ``exact``.

    Raises:
        SpecError: the rank is wrong, or the recipe changes more than an adapter can.
    """
    content = recipe.model_dump(exclude_defaults=True) | {"adapter": {"rank": rank}}
    try:
        return MergeRecipe.model_validate(content).with_notes(recipe.notes)
    except ValidationError as error:
        raise SpecError(f"adapter: {explained(error)}") from error


def recipe_text(recipe: MergeRecipe) -> str:
    """Return a recipe as YAML in mixmerge's own format, which `read_recipe` reads."""
    return to_yaml(recipe.model_dump(mode="json", exclude_defaults=True), width=80)
