"""Multilingual Dolly-200: two hundred open questions, from the Aya evaluation suite.

Singh et al., Aya Dataset (2024), arXiv 2402.06619. The translations into six languages were edited
by people (``dolly_human_edited``); those into a hundred more are machine translations
(``dolly_machine_translated``), which include the English originals. They are joined by
``source_id``.
"""

from collections.abc import Iterator, Mapping, Sequence

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_sets.cells import (
    check_joined,
    explained,
    joined_prompt,
    own_codes,
    text,
)
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.records import Prompt, Translated
from mixmerge.tables import read_data_set

HUB = "CohereLabs/aya_evaluation_suite"
ENGLISH = "eng"
HUMAN_EDITED = ("arb", "fra", "hin", "rus", "spa", "srp")
_CODES = (
    "ar:arb fr:fra hi:hin ru:rus es:spa sr:srp en:eng cs:ces de:deu el:ell fa:pes "
    "he:heb id:ind it:ita ja:jpn ko:kor nl:nld pl:pol pt:por ro:ron tr:tur uk:ukr "
    "vi:vie te:tel yo:yor zh:zho_Hans"
)
CODES = dict(pair.split(":") for pair in _CODES.split())
"""ISO 639-3, with the script if the set has a language in several."""


def read(spec: PromptSetSpec, languages: Sequence[str]) -> list[Prompt]:
    """Read the questions of some languages, joined on ``source_id``.

    Raises:
        DataError: the set cannot be loaded, a row is not in the published format, or a question
            has no English original or is missing in a language.
    """
    codes = own_codes(spec, languages, CODES)
    # The English originals are always read: all languages must have the same questions.
    wanted = {"English": ENGLISH, **codes}
    names = {own: language for language, own in wanted.items()}
    edited = {own: name for own, name in names.items() if own in HUMAN_EDITED}
    others = {own: name for own, name in names.items() if own not in HUMAN_EDITED}
    where = spec.hub or HUB
    prompts = list(_rows(where, "dolly_human_edited", edited, spec)) if edited else []
    prompts += _rows(where, "dolly_machine_translated", others, spec)
    english = names[ENGLISH]
    if not any(prompt.language == english for prompt in prompts):
        raise DataError(
            f"{where} (dolly_machine_translated): no English row (`language: eng`). The English "
            "originals of Dolly-200 are among the machine translations; use a complete copy."
        )
    check_joined(prompts, english, str(spec.set))
    return [prompt for prompt in prompts if prompt.language in languages]


def _rows(
    where: str, config: str, names: Mapping[str, str], spec: PromptSetSpec
) -> Iterator[Prompt]:
    """Yield the rows whose language, or language and script, has a name in the study."""
    for place, cells in read_data_set(where, config=config, split="test", revision=spec.revision):
        with explained(place):
            own = text(cells, "language")
            own = own if own in names else f"{own}_{text(cells, 'script')}"
            if own in names:
                # `targets` is not used: its answers are for the English question only.
                by: Translated = "human" if own in HUMAN_EDITED else "machine"
                by = "none" if own == ENGLISH else by
                yield joined_prompt(cells, "source_id", "inputs", names[own], by)
