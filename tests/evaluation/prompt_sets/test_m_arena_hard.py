"""m-ArenaHard: one configuration a language, joined on the question."""

from typing import Any

import pytest
from tests.evaluation.prompt_sets.conftest import Rows, WriteSet

from mixmerge.errors import DataError
from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts


def rows(language: str, *questions: str, **cells: Any) -> Rows:
    return [
        {
            "question_id": question,
            "category": "hard_prompt",
            "subcategory": "coding",
            "prompt": f"{language} {question}",
            "language": language,
            **cells,
        }
        for question in questions
    ]


def test_translations_share_the_question(write_set: WriteSet) -> None:
    """English is the original, every other language a model's translation of it."""
    copy = write_set({"en": rows("en", "a1", "b2"), "hi": rows("hi", "b2", "a1")})
    spec = PromptSetSpec(set="m_arena_hard", hub=str(copy))
    found = load_prompts(spec, ["en", "hi"])
    assert [(p.id, p.cluster, p.translated) for p in found] == [
        ("a1-en", "a1", "none"),
        ("b2-en", "b2", "none"),
        ("b2-hi", "b2", "machine"),
        ("a1-hi", "a1", "machine"),
    ]
    assert {p.category for p in found} == {"hard_prompt"}


def test_a_topic_is_no_source_question(write_set: WriteSet) -> None:
    """The first version's column `cluster` names a topic; it joins nothing."""
    copy = write_set({"en": rows("en", "a1", "b2", cluster="ABC Sequence Puzzles")})
    found = load_prompts(PromptSetSpec(set="m_arena_hard", hub=str(copy)), ["en"])
    assert [p.cluster for p in found] == ["a1", "b2"]


def test_questions_that_do_not_join_are_named(write_set: WriteSet) -> None:
    """Languages that ask different questions are refused, and so is a question asked twice."""
    copy = write_set({"en": rows("en", "a1", "b2"), "hi": rows("hi", "b2"), "fr": rows("fr", "b2")})
    spec = PromptSetSpec(set="m_arena_hard", hub=str(copy))
    with pytest.raises(DataError, match=r"1 questions of 'en' are missing in 'hi' \(e.g. a1\)"):
        load_prompts(spec, ["en", "hi"])
    assert len(load_prompts(spec, ["fr", "hi"])) == 2
    twice = write_set({"de": rows("de", "a1", "a1")})
    spec = PromptSetSpec(set="m_arena_hard", hub=str(twice))
    with pytest.raises(DataError, match="m_arena_hard: the question a1 appears twice in 'de'"):
        load_prompts(spec, ["de"])
