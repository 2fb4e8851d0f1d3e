"""m-ArenaHard v2: five hundred hard user requests, which a model translated into 22 languages.

Dang et al., Aya Expanse (2024), arXiv 2412.04261, for the first version. One configuration a
language, which bears its ISO 639-1 code; ``question_id`` joins them. The column ``cluster`` of the
first version is a topic, not a source question.
"""

from collections.abc import Sequence
from pathlib import Path

from mixmerge.evaluation.prompt_sets.cells import (
    Cells,
    check_joined,
    explained,
    name_of_row,
    origin,
    own_codes,
    text,
)
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records import Message, Prompt
from mixmerge.tables import read_data_set

HUB = "CohereLabs/m-ArenaHard-v2.0"
ENGLISH = "en"
LANGUAGES = (
    *("ar", "cs", "de", "el", "en", "es", "fa", "fr", "he", "hi", "id", "it"),
    *("ja", "ko", "nl", "pl", "pt", "ro", "ru", "tr", "uk", "vi", "zh"),
)


def read(spec: PromptSetSpec, languages: Sequence[str], folder: Path) -> list[Prompt]:
    """Read the requests of some languages, joined on ``question_id``.

    Raises:
        DataError: the set cannot be loaded, a row is not of the published format, or a question
            lacks a language.
    """
    where = origin(spec, HUB, folder)
    prompts = []
    for language, config in own_codes(spec, languages, {code: code for code in LANGUAGES}).items():
        rows = read_data_set(where, config=config, split="test", revision=spec.revision)
        for place, cells in rows:
            with explained(place):
                prompts.append(_prompt(cells, language))
    check_joined(prompts, languages[0], str(spec.set))
    return prompts


def _prompt(cells: Cells, language: str) -> Prompt:
    question = name_of_row(cells, "question_id")
    category = cells.get("category")
    return Prompt(
        id=f"{question}-{language}",
        cluster=question,
        language=language,
        category=None if category is None else str(category),
        messages=(Message(role="user", content=text(cells, "prompt")),),
        translated="none" if language == ENGLISH else "machine",
    )
