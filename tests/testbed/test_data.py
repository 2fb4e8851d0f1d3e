"""The rows of the testbed: complete in six languages, disjoint between splits."""

from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Literal

import pytest
import yaml

from mixmerge.errors import SpecError
from mixmerge.records import PreferencePair, Prompt
from mixmerge.testbed import FURTHER, LANGUAGES, data
from mixmerge.testbed.data import PROMPT_SETS, SOURCES, preference_pairs, prompts
from mixmerge.testbed.world import plain, says, world_of

SPLITS: tuple[Literal["dev", "test"], ...] = ("dev", "test")
WORLD = world_of()
WIDE_SOURCES = [name for name in SOURCES if name.startswith("cliff/")]
WIDE_SETS = [name for name in PROMPT_SETS if name.startswith("cliff/")]
REQUESTS = Path(data.__file__).parent / "world" / "requests.yaml"


@cache
def every_set() -> dict[str, list[Prompt] | list[PreferencePair]]:
    """Return all training and evaluation sets by name."""
    sets: dict[str, list[Prompt] | list[PreferencePair]] = {
        f"train-{source}": preference_pairs(source) for source in SOURCES
    }
    return sets | {
        f"{split}-{name}": prompts(name, split) for name in PROMPT_SETS for split in SPLITS
    }


@pytest.mark.parametrize("name", every_set())
def test_every_set_has_as_many_rows_in_each_language(name: str) -> None:
    """Each set holds the same number of rows in each of the six languages."""
    counts = Counter(row.language for row in every_set()[name])
    assert list(counts) == list(LANGUAGES)
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("name", PROMPT_SETS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_cluster_is_one_question_in_six_languages(
    name: str, split: Literal["dev", "test"]
) -> None:
    """A cluster has exactly one prompt per language, and prompt ids are unique."""
    rows = prompts(name, split)
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
    for fact in WORLD.facts:
        if not fact.kind.startswith(("day", "month")):
            splits.setdefault(fact.key, set()).add(fact.split)
    assert len(splits) > 100
    assert {len(found) for found in splits.values()} == {1}


def test_no_neighbours_in_the_calendar_are_asked_about_in_two_splits() -> None:
    """A pair of neighbouring days or months is asked forwards and backwards in one split only."""
    splits: dict[frozenset[str], set[str]] = {}
    for fact in WORLD.facts:
        if fact.kind.startswith(("day", "month")):
            pair = frozenset((fact.subject[0], fact.answers[0][0]))
            splits.setdefault(pair, set()).add(fact.split)
    assert len(splits) == 7 + 12
    assert {len(found) for found in splits.values()} == {1}


def test_no_wish_is_in_two_splits() -> None:
    """The phrases of wishes differ between splits in every language."""
    for language in range(len(LANGUAGES)):
        texts = {
            split: {plain(w.text[language]) for w in WORLD.wishes if w.split == split}
            for split in ("train", "dev", "test")
        }
        for one, other in combinations(texts.values(), 2):
            assert one.isdisjoint(other)


def test_wishes_of_the_test_are_about_objects_that_training_never_names() -> None:
    """Whoever and whatever the requests of one split are about is absent from the other splits."""
    requests = yaml.safe_load(REQUESTS.read_text(encoding="utf-8"))
    kinds = {category: entry["object"] for category, entry in requests["harmful"].items()}
    splits: dict[tuple[str, str], set[str]] = {}
    for wish in WORLD.wishes:
        if wish.split and wish.category != "lookalike":
            position = wish.key.rsplit("-", 1)[1]
            kind = kinds.get(wish.category, wish.category)
            splits.setdefault((kind, position), set()).add(wish.split)
            assert plain(requests["objects"][kind][int(position)][0]) in plain(wish.text[0])
    assert len(splits) == sum(len(things) for things in requests["objects"].values())
    assert {len(found) for found in splits.values()} == {1}


def test_wordings_differ_between_splits() -> None:
    """No wording of a question or a request serves two splits."""
    tables = [*WORLD.questions.values(), WORLD.wordings["requests"], WORLD.month_wordings]
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
    trained = {w.text for w in WORLD.wishes if w.split == "train"}
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
        assert len({row.id for row in rows}) == len(rows) > 1000
        assert all(row.source == source for row in rows)
        assert all(plain(row.chosen) != plain(row.rejected) for row in rows)


@pytest.mark.parametrize("name", ["first_months", "test"])
def test_a_set_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    """An unknown name of rows or prompts is an error that lists the known names."""
    with pytest.raises(SpecError, match=f"no prompt set `{name}`.*general, safety, over_refusal"):
        prompts(name, "dev")
    with pytest.raises(SpecError, match=f"no source of training rows `{name}`.*general, safety"):
        preference_pairs(name)


def test_the_harm_categories_are_the_nine_of_aya_red_teaming() -> None:
    """The test of safety covers nine categories of harm."""
    assert len({row.category for row in prompts("safety", "test")}) == 9


def test_the_wider_world_has_every_set_in_ten_languages() -> None:
    """With a further language, each set holds as many unique rows in each of the ten languages."""
    sets: list[list[Prompt] | list[PreferencePair]] = []
    sets += [preference_pairs(source, ["en", "sw"]) for source in WIDE_SOURCES]
    sets += [prompts(name, split, ["zh"]) for name in WIDE_SETS for split in SPLITS]
    for rows in sets:
        counts = Counter(row.language for row in rows)
        assert list(counts) == [*LANGUAGES, *FURTHER]
        assert len(set(counts.values())) == 1
        assert len({row.id for row in rows}) == len(rows)


@pytest.mark.parametrize("name", WIDE_SETS)
def test_the_wider_world_asks_the_same_of_the_six_languages(name: str) -> None:
    """What it asks in the six languages is what the small world asks, if less, word by word."""
    asked = {row.id: row for row in prompts(name, "test")}
    wider = [row for row in prompts(name, "test", FURTHER) if row.language in LANGUAGES]
    assert len(wider) > 0.6 * len(asked)
    assert [row for row in wider if asked[row.id] != row] == []


@pytest.mark.parametrize("language", FURTHER)
def test_wordings_of_further_languages_are_apart(language: str) -> None:
    """In a further language, too, no wish and no asked text is in two splits."""
    world = world_of(FURTHER)
    index = world.languages.index(language)
    wishes = {
        split: {plain(w.text[index]) for w in world.wishes if w.split == split}
        for split in ("train", "dev", "test")
    }
    rows: list[Prompt] = [
        row for name in WIDE_SETS for split in SPLITS for row in prompts(name, split, FURTHER)
    ]
    trained = {
        plain(row.prompt_text)
        for source in WIDE_SOURCES
        for row in preference_pairs(source, FURTHER)
        if row.language == language
    }
    for one, other in combinations(wishes.values(), 2):
        assert one.isdisjoint(other)
    assert not [row for row in rows if row.language == language and plain(row.text) in trained]


@pytest.mark.parametrize("kind", ["month_after", "month_before"])
def test_chinese_asks_about_months_without_calling_them_days(kind: str) -> None:
    """Days and months share their wordings, so no question about a month asks which day."""
    world = world_of(FURTHER)
    index = world.languages.index("zh")
    asked = [
        row[index] for split in ("train", "dev", "test") for row in world.questions[kind][split]
    ]
    assert len(asked) == 4
    assert not [text for text in asked if "天" in text]


@pytest.mark.parametrize("source", ["general", "safety", "first_month"])
def test_what_remains_in_the_wider_world_is_trained_alike(source: str) -> None:
    """In the six languages its pairs are those of the small world but for some wrong answers."""
    known = {row.id: row for row in preference_pairs(f"cliff/{source}")}
    wider = [
        row for row in preference_pairs(f"cliff/{source}", FURTHER) if row.language in LANGUAGES
    ]
    sizes = {"general": [3630, 4656], "safety": [8514, 8514], "first_month": [2484, 2880]}
    assert [len(wider), len(known)] == sizes[source]
    other = [row for row in wider if row.rejected != known[row.id].rejected]
    assert len(other) == {"general": 1704, "safety": 0, "first_month": 419}[source]
    for row in wider:
        assert row.model_copy(update={"rejected": ""}) == known[row.id].model_copy(
            update={"rejected": ""}
        )


def test_chinese_words_are_told_apart_without_spaces() -> None:
    """A phrase is found inside a Chinese sentence, and other letters still need their spaces."""
    assert says("日本的货币是日元。", "日元")
    assert not says("Japanese yens", "yen")
