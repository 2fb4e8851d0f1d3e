"""Prompt sets from local files and Hugging Face data sets, with their clusters."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import DataError
from mixmerge.evaluate.spec import PromptColumns, PromptSetSpec
from mixmerge.files import first_problem
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Prompt

Cells = Mapping[str, Any]


def load_prompts(
    spec: PromptSetSpec, languages: Sequence[str], *, folder: Path = Path()
) -> list[Prompt]:
    """Read the prompts of some languages.

    Args:
        spec: where the prompts are; not the testbed, whose prompts its own functions return.
        languages: the languages to keep.
        folder: what relative paths are relative to, usually the study file's folder.

    Raises:
        DataError: a row is broken (with file and line), two prompts share an id, or a language
            has no prompt.
    """
    prompts: list[Prompt] = []
    for where, cells, language in _rows(spec, folder):
        try:
            prompts.append(_prompt(cells, spec, language))
        except ValidationError as error:
            raise DataError(f"{where}: {first_problem(error)}") from error
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
    kept = [prompt for prompt in prompts if prompt.language in languages]
    name = str(spec.hub or spec.files)
    check_prompts(kept, languages, name)
    return kept


def check_prompts(prompts: Sequence[Prompt], languages: Iterable[str], name: str) -> None:
    """Check that prompts can be asked: unique ids, the user speaks last, no language is empty.

    Args:
        prompts: the prompts of one axis.
        languages: the languages that must occur.
        name: what to call the prompt set in a message.

    Raises:
        DataError: one of these does not hold; the message names the prompt or the language.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise DataError(
                f"{name}: two prompts have the id {prompt.id!r}; ids must be unique. "
                "Leave the `id` column out and digests of the text are used."
            )
        seen.add(prompt.id)
        if prompt.messages[-1].role != "user":
            raise DataError(f"{name}, prompt {prompt.id!r}: the last message must be the user's.")
    present = {prompt.language for prompt in prompts}
    for language in languages:
        if language not in present:
            raise DataError(
                f"{name}: the language {language!r} is empty: no prompt has it. Remove it from "
                "`languages`, or map the set's own names with `language_names`."
            )


def _rows(spec: PromptSetSpec, folder: Path) -> Iterator[tuple[str, Cells, str | None]]:
    """Yield where each row stands, its cells, and its language where the file decides that."""
    if spec.hub is not None:
        for number, cells in enumerate(_hub_rows(spec, folder), 1):
            yield f"{spec.hub}, row {number}", cells, spec.language
    elif isinstance(spec.files, dict):
        for language, path in spec.files.items():
            yield from _file_rows(folder / path, language)
    else:
        paths = spec.files if isinstance(spec.files, list) else [spec.files or Path()]
        for path in paths:
            yield from _file_rows(folder / path, spec.language)


def _file_rows(path: Path, language: str | None) -> Iterator[tuple[str, Cells, str | None]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error}).") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}: not valid JSON: {error}.") from error
        if not isinstance(cells, dict):
            raise DataError(f"{where}: a JSON object is required (seen: {line[:60]!r}).")
        yield where, cells, language


def _hub_rows(spec: PromptSetSpec, folder: Path) -> Iterable[Cells]:
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    local = folder / str(spec.hub)
    name = str(local) if local.is_dir() else str(spec.hub)
    try:
        rows: Iterable[Cells] = load_dataset(
            name, spec.config, split=spec.split, revision=spec.revision
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{spec.hub}: cannot be loaded as a data set: {error}") from error
    return rows


def _prompt(cells: Cells, spec: PromptSetSpec, language: str | None) -> Prompt:
    if "messages" in cells and spec.columns.prompt is None:
        return Prompt.model_validate({**cells, **({"language": language} if language else {})})
    text = _cell(cells, spec.columns, "prompt")
    if not text:
        column = spec.columns.prompt or "prompt"
        raise ValueError(f"the column `{column}` is missing or empty (columns: {sorted(cells)}).")
    own_name = language or _cell(cells, spec.columns, "language")
    if own_name is None:
        raise ValueError("no language: give `language`, `columns.language` or files by language.")
    code = spec.language_names.get(str(own_name), str(own_name))
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    name = _cell(cells, spec.columns, "id")
    # Most public sets number their questions from zero in every language.
    name = fingerprint([code, messages])[:16] if name is None else f"{name}-{code}"
    cluster = _cell(cells, spec.columns, "cluster")
    return Prompt.model_validate(
        {
            "id": name,
            "cluster": name if cluster is None else str(cluster),
            "language": code,
            "category": _category(_cell(cells, spec.columns, "category")),
            "messages": messages,
            "accepted": _accepted(_cell(cells, spec.columns, "accepted")),
        }
    )


def _cell(cells: Cells, columns: PromptColumns, field: str) -> Any:
    column = getattr(columns, field)
    if column is not None and column not in cells:
        raise ValueError(f"no column `{column}` (columns: {', '.join(sorted(cells))}).")
    return cells.get(column or field)


def _category(value: Any) -> str | None:
    """Read a category; several in a list, or in a JSON list inside a string, are joined."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return value
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    return None if value is None else str(value)


def _accepted(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
