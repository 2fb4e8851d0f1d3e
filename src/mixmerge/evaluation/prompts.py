"""Load the prompts of an axis: a published set by name, or any rows by their columns."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from mixmerge import json_text
from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_sets.cells import Cells, cell, explained
from mixmerge.evaluation.prompt_spec import PromptColumns, PromptSetSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Prompt
from mixmerge.records.turns import PROMPTS, columns_of_prompt, from_text, joined, read_turns
from mixmerge.spec_model import shown
from mixmerge.yaml_file import one_line

UNKNOWN = "und"
"""The language of a prompt that does not say it (ISO 639-3)."""


def load_prompts(spec: PromptSetSpec, languages: Sequence[str]) -> list[Prompt]:
    """Read the prompts in some languages; `mixmerge.testbed` has its own function.

    Raises:
        DataError: a row is invalid (with file and line), two prompts have the same id, or a
            language has no prompt.
    """
    if spec.set is not None:
        published = import_module(f"mixmerge.evaluation.prompt_sets.{spec.set}")
        prompts = published.read(spec, languages)
    else:
        prompts = [p for p in _any_rows(spec, languages) if p.language in languages]
    files = ", ".join(str(path) for _, path in spec.paths())
    check_prompts(prompts, languages, spec.set or spec.hub or files)
    return prompts


def spread_prompts(file: Path, limit: int) -> list[Prompt]:
    """Return at most ``limit`` prompts of a file, at equal distances, in any language.

    Raises:
        DataError: a row is invalid, with its line.
    """
    return spread([*_any_rows(PromptSetSpec(files=file), [UNKNOWN])], limit)


def spread(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    """Return at most ``limit`` prompts at equal distances: a file is often sorted."""
    count = min(limit, len(prompts))
    return [prompts[place * len(prompts) // count] for place in range(count)]


def check_prompts(prompts: Sequence[Prompt], languages: Iterable[str], name: str) -> None:
    """Check that ids are unique, the last message is the user's, and no language is empty.

    Raises:
        DataError: otherwise; the message names the prompt or the language.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise DataError(
                f"{name}: two prompts have the id {prompt.id!r}; ids must be unique. Remove "
                "duplicate rows; without an `id` column, ids are digests of language and text."
            )
        seen.add(prompt.id)
        if prompt.messages[-1].role != "user":
            raise DataError(f"{name}, prompt {prompt.id!r}: the last message must be the user's.")
    present = {prompt.language for prompt in prompts}
    for language in languages:
        if language not in present:
            raise DataError(
                f"{name}: no prompt is in the language {language!r}. Remove it from `languages`, "
                "or map the set's names of languages with `language_names`."
            )


def _any_rows(spec: PromptSetSpec, languages: Sequence[str]) -> Iterator[Prompt]:
    # If only one language is evaluated, rows need not name it.
    only = languages[0] if len(languages) == 1 else None
    for language, (place, cells) in spec.records():
        with explained(place):
            own = cells.get(spec.columns.language or "language")
            yield _prompt(cells, spec, language or own or only)


def _prompt(cells: Cells, spec: PromptSetSpec, language: str | None) -> Prompt:
    columns = spec.columns
    whole = {"id", "cluster", "messages"} <= set(cells) <= set(Prompt.model_fields)
    if whole and columns.prompt is None:
        return _own_format(cells, spec, language)
    text = _asked(cells, columns)
    own_name = language or _cell(cells, columns, "language")
    if own_name is None:
        raise ValueError("no language: give `language`, `columns.language` or files by language.")
    code = spec.language_names.get(str(own_name), str(own_name))
    text = from_text("prompt", text)
    user = {"role": "user", "content": text}
    messages = read_turns("prompt", text if isinstance(text, (list, dict)) else user)
    name = _cell(cells, columns, "id")
    # Most public sets number their questions from zero in every language.
    try:
        name = fingerprint([code, messages])[:16] if name is None else f"{name}-{code}"
    except TypeError as error:  # e.g. NaN
        raise ValueError(f"`prompt` must be a text or messages (seen: {shown(text)}).") from error
    cluster = _cell(cells, columns, "cluster")
    return Prompt.model_validate(
        {
            "id": name,
            "cluster": name if cluster is None else str(cluster),
            "language": code,
            "category": _category(_cell(cells, columns, "category")),
            "messages": messages,
            "accepted": _texts(cells, columns, "accepted"),
            "tests": _texts(cells, columns, "tests"),
            "translated": _cell(cells, columns, "translated") or spec.translated_into(code),
        }
    )


def _asked(cells: Cells, columns: PromptColumns) -> Any:
    """Return the user's text, or messages."""
    usual = (name for name in ("messages", "prompt", *PROMPTS) if name in cells)
    named = columns_of_prompt(columns.prompt or next(usual, "prompt"), cells)
    found = [cell(cells, name) for name in named] if columns.prompt else map(cells.get, named)
    values = [value for value in found if value is not None and value != ""]
    if not values:
        seen = one_line(", ".join(sorted(cells)))
        raise ValueError(f"the column `{named[0]}` is missing or empty (columns: {seen}).")
    return values[0] if len(named) == 1 else joined(named, values)


def _own_format(cells: Cells, spec: PromptSetSpec, language: str | None) -> Prompt:
    """Read a row in the format of `Prompt`, with the settings of the whole set."""
    row = {**cells, "messages": read_turns("messages", cells["messages"])}
    own_name = language or row.get("language")
    if own_name is not None:
        row["language"] = code = spec.language_names.get(str(own_name), str(own_name))
        row["translated"] = row.get("translated") or spec.translated_into(code)
    return Prompt.model_validate(row)


def _cell(cells: Cells, columns: PromptColumns, field: str) -> Any:
    column = getattr(columns, field)
    value = cells.get(field) if column is None else cell(cells, column)
    return None if value == "" else value  # an empty cell of a CSV file


def _category(value: Any) -> str | None:
    """Read a category; several, in a list or a string with a JSON list, are joined."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_text.parse(value)
        except ValueError:
            return value
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    return None if value is None else str(value)


def _texts(cells: Cells, columns: PromptColumns, field: str) -> list[str]:
    value = _cell(cells, columns, field)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValueError(f"`{field}` must be a text or a list of texts (seen: {value!r}).")
