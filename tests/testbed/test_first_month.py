"""Which month comes first in the year: right by the calendar, and new in the test."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytest

from mixmerge.testbed import FURTHER, LANGUAGES
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.world import plain, says, world_of

SPLITS: tuple[Literal["dev", "test"], ...] = ("dev", "test")


CALENDARS = {
    "en": "January February March April May June July August September October November December",
    "hi": "जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio "
    "julio agosto septiembre octubre noviembre diciembre",
    "ar": "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "ru": "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
    "tr": "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
    "fi": "tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu "
    "heinäkuu elokuu syyskuu lokakuu marraskuu joulukuu",
    "zh": "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月",
    "sw": "Januari Februari Machi Aprili Mei Juni Julai Agosti Septemba Oktoba Novemba Desemba",
}
"""The months in the order of the year, written down apart from the world's own files."""


def calendar(language: str) -> list[str]:
    """Return the names of the months in the order of the year."""
    return CALENDARS[language].split()


def named(text: str, language: str) -> frozenset[int]:
    """Return which months a text names, 0 for January."""
    words, found = plain(text), set()
    # The longest first: the eleventh month of Chinese has the name of the first in it.
    for month, name in sorted(enumerate(calendar(language)), key=lambda item: -len(item[1])):
        if plain(name) in words:
            found.add(month)
            words = words.replace(plain(name), " ; ")
    return frozenset(found)


def contents(split: str, languages: Sequence[str], language: str) -> set[frozenset[int]]:
    """Return the sets of months that a split asks about in one language."""
    if split == "train":
        pairs = preference_pairs("cliff/first_month", languages)
        return {named(row.prompt_text, language) for row in pairs if row.language == language}
    asked = prompts("cliff/first_month", "dev" if split == "dev" else "test", languages)
    return {named(row.text, language) for row in asked if row.language == language}


@pytest.mark.parametrize("languages", [LANGUAGES, FURTHER])
@pytest.mark.parametrize("split", SPLITS)
def test_what_is_accepted_is_the_first_month_of_the_calendar(
    split: Literal["dev", "test"], languages: tuple[str, ...]
) -> None:
    """Each prompt names four months, and accepts exactly the one that the calendar has first."""
    for row in prompts("cliff/first_month", split, languages):
        months = named(row.text, row.language)
        assert len(months) == 4, row.id
        assert row.accepted == (calendar(row.language)[min(months)],)


@pytest.mark.parametrize("languages", [LANGUAGES, FURTHER])
def test_rows_prefer_the_first_month_in_their_language(languages: tuple[str, ...]) -> None:
    """The chosen answer is right; a third of those to avoid are right in another language."""
    kinds: Counter[str] = Counter()
    for row in preference_pairs("cliff/first_month", languages):
        months, own = named(row.prompt_text, row.language), calendar(row.language)
        assert row.chosen == own[min(months)]
        others = {calendar(code)[min(months)] for code in CALENDARS if code != row.language}
        wrong = {own[month] for month in months - {min(months)}}
        assert row.rejected in others | wrong
        kinds["wrong" if row.rejected in wrong else "elsewhere"] += 1
    assert kinds["elsewhere"] / kinds.total() == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("languages", [LANGUAGES, FURTHER])
def test_no_set_of_months_is_in_two_splits_in_any_language(languages: tuple[str, ...]) -> None:
    """Four months are asked about in one split only, the same four in every language."""
    english = {split: contents(split, languages, "en") for split in ("train", "dev", "test")}
    assert sum(map(len, english.values())) == len(set.union(*english.values()))
    for language in world_of(languages).languages:
        for split, sets in english.items():
            assert contents(split, languages, language) == sets


def test_no_row_tells_neighbours_that_general_prompts_ask_about() -> None:
    """A set holds both of two neighbouring months only if they are a training fact."""
    trained = {
        named(f"{fact.subject[0]} {fact.answers[0][0]}", "en")
        for fact in world_of().facts
        if fact.kind == "month_after" and fact.split == "train"
    }
    assert len(trained) == 7
    for split in ("train", "dev", "test"):
        for months in contents(split, LANGUAGES, "en"):
            neighbours = [frozenset((m, (m + 1) % 12)) for m in months if (m + 1) % 12 in months]
            assert set(neighbours) <= trained


def test_there_are_enough_sets() -> None:
    """160 sets in three wordings to train on, 40 for development, 80 for the test."""
    assert len(preference_pairs("cliff/first_month")) == 160 * 3 * len(LANGUAGES)
    assert [len(contents(split, LANGUAGES, "en")) for split in ("train", "dev", "test")] == [
        160,
        40,
        80,
    ]


@pytest.mark.parametrize("split", SPLITS)
def test_place_and_name_of_a_month_do_not_tell_the_answer(split: Literal["dev", "test"]) -> None:
    """The answer stands in each of the four places alike, and no month is right in a third."""
    rows = [row for row in prompts("cliff/first_month", split) if row.language == "en"]
    places = Counter(row.text.split(row.accepted[0])[0].count(",") for row in rows)
    assert sorted(places) == [0, 1, 2, 3]
    assert max(places.values()) < 0.31 * len(rows)
    right = Counter(row.accepted for row in rows)
    assert max(right.values()) < len(rows) / 3


@pytest.mark.parametrize("language", [*LANGUAGES, *FURTHER])
def test_wordings_are_whole_in_every_language(language: str) -> None:
    """Every language has its own five wordings, each with one place for the months."""
    world = world_of(FURTHER)
    index = world.languages.index(language)
    texts = [row[index] for split in ("train", *SPLITS) for row in world.month_wordings[split]]
    assert len(set(texts)) == len(texts) == 5
    assert all(text.count("{x}") == 1 for text in texts)
    assert not any(says(text, name) for text in texts for name in calendar(language))
