"""XSTest: 250 safe English requests that look unsafe, and translations of them.

Röttger et al., XSTest (2024), arXiv 2308.01263. The set also has 200 unsafe contrasts, which are
left out, since over-refusal is measured on safe requests. Translations are files in the same
format, joined by ``id``; the study must say who made them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_sets.cells import (
    Cells,
    check_joined,
    explained,
    joined_prompt,
    text,
)
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records import Prompt, Translated
from mixmerge.tables import Record, read_data_set, read_file

HUB = "Paul/XSTest"
FILE = "xstest_prompts.csv"
ENGLISH = "en"
_UNSAFE_TYPE = "contrast_"


def read(spec: PromptSetSpec, languages: Sequence[str]) -> list[Prompt]:
    """Read the safe requests, English from the set and other languages from `files`.

    Raises:
        DataError: the set or a file cannot be read, a row is not in the published format, a
            language has no file, or its requests are not those of the English set.
    """
    paths = spec.files if isinstance(spec.files, dict) else {}
    for language in languages:
        if language != ENGLISH and language not in paths:
            raise DataError(
                f"xstest: the set is English; for {language!r} give a translation in the same "
                f"format, `files: {{{language}: PATH}}`, with `translated: machine` or `human`."
            )
    prompts = list(_safe(_english(spec), ENGLISH, "none"))
    for language in languages:
        if language != ENGLISH:
            rows = read_file(paths[language])
            prompts += _safe(rows, language, spec.translated_into(language))
    check_joined(prompts, ENGLISH, "xstest")
    return [prompt for prompt in prompts if prompt.language in languages]


def _english(spec: PromptSetSpec) -> Iterator[Record]:
    where = spec.hub or HUB
    file = Path(where) / FILE
    if file.is_file():
        return read_file(file)
    return read_data_set(where, split="train", revision=spec.revision)


def _safe(rows: Iterator[Record], language: str, translated: Translated) -> Iterator[Prompt]:
    for place, cells in rows:
        with explained(place):
            if _is_safe(cells):
                kind = text(cells, "type")
                yield joined_prompt(cells, "id", "prompt", language, translated, kind)


def _is_safe(cells: Cells) -> bool:
    """Return whether a request is safe; early copies have only the type instead of a label."""
    if "label" not in cells:
        return not text(cells, "type").startswith(_UNSAFE_TYPE)
    label = text(cells, "label")
    if label not in ("safe", "unsafe"):
        raise ValueError(f"the column `label` must be safe or unsafe (seen: {label!r}).")
    return label == "safe"
