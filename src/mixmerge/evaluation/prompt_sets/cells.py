"""Checked access to the cells of published data, and checks of parallel languages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.files import first_problem
from mixmerge.records import Message, Prompt, Translated
from mixmerge.spec_model import shown
from mixmerge.tables import Place

Cells = Mapping[str, Any]


@contextmanager
def explained(place: Place) -> Iterator[None]:
    """Turn the error of an invalid cell into a `DataError` with the row's location."""
    try:
        yield
    except ValueError as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else error
        raise DataError(f"{place}: {problem}") from error


def cell(cells: Cells, column: str) -> Any:
    """Return a cell that must exist; ``provenance.seed`` is a key of the object in a column.

    Raises:
        ValueError: there is no such column.
    """
    outer, _, key = column.partition(".")
    if column not in cells and key and isinstance(cells.get(outer), Mapping):
        return cell(cells[outer], key)
    if column not in cells:
        raise ValueError(f"no column `{column}` (columns: {', '.join(sorted(cells))}).")
    return cells[column]


def text(cells: Cells, column: str) -> str:
    """Return a cell that must be a text.

    Raises:
        ValueError: the column is missing, or not a text, or blank.
    """
    value = cell(cells, column)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the column `{column}` must be a text (seen: {shown(value)}).")
    return value


def joined_prompt(
    cells: Cells,
    join: str,
    asked: str,
    language: str,
    translated: Translated,
    category: str | None = None,
) -> Prompt:
    """Return a prompt of a set whose languages are translations of each other.

    The column ``join`` (integers or texts) identifies the question; ``asked`` is the user's text.

    Raises:
        ValueError: a column is missing or empty.
    """
    value = cell(cells, join)
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise ValueError(f"the column `{join}` must be a number or a name (seen: {shown(value)}).")
    return Prompt(
        id=f"{value}-{language}",
        cluster=str(value),
        language=language,
        category=category,
        messages=(Message(role="user", content=text(cells, asked)),),
        translated=translated,
    )


def own_codes(
    spec: PromptSetSpec, languages: Sequence[str], codes: Mapping[str, str]
) -> dict[str, str]:
    """Return the set's name of each language by the study's code; ``codes`` has the usual ones.

    Raises:
        DataError: a language is not known to be in the set.
    """
    known = {**codes, **{code: own for own, code in spec.language_names.items()}}
    for language in languages:
        if language not in known:
            raise DataError(
                f"{spec.set}: the language {language!r} is not known to be in the set (known: "
                f"{', '.join(sorted(known))}). Remove it from `languages`, or give the set's name "
                f"of it, e.g. `language_names: {{xyz: {language}}}`."
            )
    return {language: known[language] for language in languages}


def check_joined(prompts: Sequence[Prompt], first: str, name: str) -> None:
    """Check that all languages have the same questions as the first.

    Raises:
        DataError: a question is missing in a language, or is there twice.
    """
    questions: dict[str, set[str]] = {}
    for prompt in prompts:
        seen = questions.setdefault(prompt.language, set())
        if prompt.cluster in seen:
            raise DataError(
                f"{name}: the question {prompt.cluster} appears twice in {prompt.language!r}."
            )
        seen.add(prompt.cluster)
    wanted = questions.get(first, set())
    for language, asked in questions.items():
        for one, other, missing in (
            (language, first, wanted - asked),
            (first, language, asked - wanted),
        ):
            if missing:
                raise DataError(
                    f"{name}: {len(missing)} questions of {other!r} are missing in {one!r} "
                    f"(e.g. {min(missing)}). The languages of this set are translations of the "
                    "same questions: use a complete copy and one `revision` of it."
                )
