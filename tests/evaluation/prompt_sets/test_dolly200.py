"""Multilingual Dolly-200: edited translations joined to the English originals."""

from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.prompt_sets.conftest import Rows, WriteSet

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.records import Prompt


def rows(language: str, *source_ids: int, script: str = "Latn", first: int = 0) -> Rows:
    """Return rows as published: ids count from zero in every language and join nothing."""
    return [
        {
            "id": first + number,
            "inputs": f"{language} {script} {source_id}?",
            "targets": "An answer to the English question.",
            "language": language,
            "script": script,
            "source_id": source_id,
        }
        for number, source_id in enumerate(source_ids)
    ]


def load(copy: Path, *languages: str, **settings: Any) -> list[Prompt]:
    spec = PromptSetSpec.model_validate({"set": "dolly200", "hub": str(copy), **settings})
    return load_prompts(spec, languages)


def test_languages_are_joined_on_the_source(write_set: WriteSet) -> None:
    """Translations share the cluster of their original, and say who made them."""
    copy = write_set(
        {
            "dolly_human_edited": [*rows("hin", 7, 9, script="Deva"), *rows("fra", 9, 7)],
            "dolly_machine_translated": [
                *rows("eng", 7, 9),
                *rows("deu", 9, 7, first=40),
                *rows("hin", 7, 9, script="Deva"),
            ],
        }
    )
    found = load(copy, "en", "hi", "fr", "de")
    assert {p.language: p.translated for p in found} == {
        "en": "none",
        "hi": "human",
        "fr": "human",
        "de": "machine",
    }
    assert {(p.language, p.cluster): p.text for p in found}["fr", "9"] == "fra Latn 9?"
    assert sorted(p.id for p in found if p.cluster == "7") == ["7-de", "7-en", "7-fr", "7-hi"]
    assert len(found) == 8
    assert all(p.accepted == () for p in found)


def test_a_language_in_two_scripts_is_one_of_them(write_set: WriteSet) -> None:
    """Chinese is the simplified script, unless the names say otherwise."""
    chinese = [*rows("zho", 7, script="Hans"), *rows("zho", 7, script="Hant")]
    copy = write_set({"dolly_machine_translated": [*rows("eng", 7), *chinese]})
    assert [p.text for p in load(copy, "zh")] == ["zho Hans 7?"]
    (prompt,) = load(copy, "tw", language_names={"zho_Hant": "tw"})
    assert (prompt.text, prompt.translated) == ("zho Hant 7?", "machine")


def test_other_codes_of_a_study_change_no_translator(write_set: WriteSet) -> None:
    """A study that calls Hindi `hin` gets the edited translations too."""
    copy = write_set(
        {
            "dolly_human_edited": rows("hin", 7, script="Deva"),
            "dolly_machine_translated": rows("eng", 7),
        }
    )
    (prompt,) = load(copy, "hin", language_names={"hin": "hin"})
    assert (prompt.translated, prompt.id) == ("human", "7-hin")


def test_missing_english_is_said(write_set: WriteSet) -> None:
    """Without the originals nothing can be joined, whether English is asked for or not."""
    edited = rows("hin", 7, script="Deva")
    copy = write_set({"dolly_human_edited": edited, "dolly_machine_translated": rows("deu", 7)})
    for languages in (["en", "hi"], ["hi"]):
        with pytest.raises(DataError, match=r"no English row .*use a complete copy"):
            load(copy, *languages)


def test_questions_that_do_not_join_are_counted(write_set: WriteSet) -> None:
    """A question without its original, or missing in a language, is named with the number."""
    machine = {"dolly_machine_translated": rows("eng", 7, 9)}
    copy = write_set({"dolly_human_edited": rows("fra", 7, 8, 9), **machine})
    with pytest.raises(DataError, match=r"1 questions of 'fr' are missing in 'English' \(e.g. 8\)"):
        load(copy, "fr")


def test_an_incomplete_language_is_named(write_set: WriteSet) -> None:
    """A copy that lost rows of one language is refused."""
    machine = {"dolly_machine_translated": rows("eng", 7, 9)}
    copy = write_set({"dolly_human_edited": rows("fra", 9), **machine})
    with pytest.raises(DataError, match=r"1 questions of 'en' are missing in 'fr' \(e.g. 7\)"):
        load(copy, "en", "fr")


def test_a_revision_without_sources_is_said(write_set: WriteSet) -> None:
    """The first revisions of the set had no `source_id`; they cannot be joined."""
    old = [{k: v for k, v in row.items() if k != "source_id"} for row in rows("eng", 7)]
    copy = write_set({"dolly_machine_translated": old})
    with pytest.raises(DataError, match=r"row 1: no column `source_id` \(columns: id, inputs"):
        load(copy, "en")
