"""The rows of the testbed: complete in six languages, disjoint between splits."""

from collections import Counter
from functools import cache
from itertools import combinations
from typing import Literal

import pytest

from mixmerge.records import Axis, PreferencePair, Prompt
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.world import facts, plain, read, wishes

AXES: tuple[Axis, ...] = ("general", "safety", "over_refusal")
SPLITS: tuple[Literal["dev", "test"], ...] = ("dev", "test")
SOURCES: tuple[Literal["general", "safety"], ...] = ("general", "safety")


@cache
def every_set() -> dict[str, list[Prompt] | list[PreferencePair]]:
    """Return all training and evaluation sets by name."""
    sets: dict[str, list[Prompt] | list[PreferencePair]] = {
        f"train-{source}": preference_pairs(source) for source in SOURCES
    }
    return sets | {f"{split}-{axis}": prompts(axis, split) for axis in AXES for split in SPLITS}


@pytest.mark.parametrize("name", every_set())
def test_every_set_has_as_many_rows_in_each_language(name: str) -> None:
    """Each set holds the same number of rows in each of the six languages."""
    counts = Counter(row.language for row in every_set()[name])
    assert list(counts) == list(LANGUAGES)
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_cluster_is_one_question_in_six_languages(
    axis: Axis, split: Literal["dev", "test"]
) -> None:
    """A cluster has exactly one prompt per language, and prompt ids are unique."""
    rows = prompts(axis, split)
    clusters = Counter(row.cluster for row in rows)
    assert set(clusters.values()) == {len(LANGUAGES)}
    assert len({(row.cluster, row.language) for row in rows}) == len(rows)
    assert len({row.id for row in rows}) == len(rows)


def test_no_two_sets_share_a_prompt_text() -> None:
    """A normalised text is asked in at most one of train, dev and test."""
    asked: dict[str, set[str]] = {}
    for name, rows in every_set().items():
        for row in rows:
            text = row.text if isinstance(row, Prompt) else row.prompt_text
            asked.setdefault(plain(text), set()).add(name.split("-")[0])
    assert [text for text, splits in asked.items() if len(splits) > 1] == []


def test_no_country_is_asked_about_in_two_splits() -> None:
    """All facts about one country, in either direction, are in one split."""
    splits: dict[str, set[str]] = {}
    for fact in facts():
        if not fact.kind.startswith(("day", "month")):
            splits.setdefault(fact.key, set()).add(fact.split)
    assert len(splits) > 100
    assert {len(found) for found in splits.values()} == {1}


def test_no_neighbours_in_the_calendar_are_asked_about_in_two_splits() -> None:
    """A pair of neighbouring days or months is asked forwards and backwards in one split only."""
    splits: dict[frozenset[str], set[str]] = {}
    for fact in facts():
        if fact.kind.startswith(("day", "month")):
            pair = frozenset((fact.subject[0], fact.answers[0][0]))
            splits.setdefault(pair, set()).add(fact.split)
    assert len(splits) == 7 + 12
    assert {len(found) for found in splits.values()} == {1}


def test_no_wish_is_in_two_splits() -> None:
    """The phrases of wishes differ between splits in every language."""
    for language in range(len(LANGUAGES)):
        texts = {
            split: {plain(w.text[language]) for w in wishes() if w.split == split}
            for split in ("train", "dev", "test")
        }
        for one, other in combinations(texts.values(), 2):
            assert one.isdisjoint(other)


def test_wishes_of_the_test_are_about_objects_that_training_never_names() -> None:
    """Whoever and whatever the requests of one split are about is absent from the other splits."""
    requests = read("requests.yaml")
    kinds = {category: entry["object"] for category, entry in requests["harmful"].items()}
    splits: dict[tuple[str, str], set[str]] = {}
    for wish in wishes():
        if wish.split and wish.category != "lookalike":
            position = wish.key.rsplit("-", 1)[1]
            kind = kinds.get(wish.category, wish.category)
            splits.setdefault((kind, position), set()).add(wish.split)
            assert plain(requests["objects"][kind][int(position)][0]) in plain(wish.text[0])
    assert len(splits) == sum(len(things) for things in requests["objects"].values())
    assert {len(found) for found in splits.values()} == {1}


def test_wordings_differ_between_splits() -> None:
    """No wording of a question or a request serves two splits."""
    tables = [*read("questions.yaml").values(), read("wordings.yaml")["requests"]]
    for table in tables:
        worded = [
            text
            for split in ("train", "tuning", "dev", "test")
            for row in table.get(split, [])
            for text in row
        ]
        assert len(worded) == len(set(worded))


@pytest.mark.parametrize("split", ["dev", "test"])
def test_everyday_requests_are_new(split: Literal["dev", "test"]) -> None:
    """No everyday request is a training wish or an over-refusal prompt."""
    trained = {w.text for w in wishes() if w.split == "train"}
    asked = [p for p in prompts("general", split) if p.category == "everyday"]
    others = {p.text for p in prompts("over_refusal", split)}
    assert len(asked) == 25 * len(LANGUAGES)
    for prompt in asked:
        assert prompt.text not in others
        assert not any(plain(text[0]) in plain(prompt.text) for text in trained)
        assert prompt.accepted


def test_rows_are_the_same_on_every_call() -> None:
    """Data are a pure function: two calls give equal rows in equal order."""
    assert every_set.__wrapped__() == every_set()


def test_training_rows_have_unique_ids_and_prefer_something() -> None:
    """Ids are unique within a source, and chosen and rejected differ in their words."""
    for source in SOURCES:
        rows = [row for row in every_set()[f"train-{source}"] if isinstance(row, PreferencePair)]
        assert len({row.id for row in rows}) == len(rows) > 4000
        assert all(row.source == source for row in rows)
        assert all(plain(row.chosen) != plain(row.rejected) for row in rows)


def test_the_harm_categories_are_the_nine_of_aya_red_teaming() -> None:
    """The test of safety covers nine categories of harm."""
    assert len({row.category for row in prompts("safety", "test")}) == 9
