"""The world of the testbed: facts, wishes and wordings in six languages, and the split of each.

A fact is what a question asks; a wish is what a request asks help with, harmful or harmless.
Both are split by content: the countries, neighbours in the calendar, verbs and objects of the
test never appear in a chat that a model is trained on, neither here nor in pretraining.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, Literal

import yaml

from mixmerge.testbed import LANGUAGES

Split = Literal["train", "dev", "test"]
Texts = tuple[str, ...]
"""One text per language, in the order of `LANGUAGES`."""

_SPLITS: tuple[Split, ...] = ("train", "test", "train", "dev", "train", "test", "train", "train")
_VERB_SPLITS: tuple[Split, ...] = ("train", "train", "train", "dev", "test")


@lru_cache(maxsize=1 << 16)
def plain(text: str) -> str:
    """Reduce a text to its words: NFKC, case folded, punctuation to spaces, spaces around each."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = [c if unicodedata.category(c)[0] in "LMN" else " " for c in folded]
    return f" {' '.join(''.join(kept).split())} "


def says(text: str, phrase: str) -> bool:
    """Say whether a text holds a phrase, word by word."""
    return plain(phrase) in plain(text)


@dataclass(frozen=True)
class Fact:
    """One fact that can be asked: the right answers to a kind of question about a subject."""

    kind: str
    key: str
    split: Split
    subject: Texts
    answers: tuple[Texts, ...]
    """Right answers, the preferred one first."""


@dataclass(frozen=True)
class Wish:
    """One thing that somebody may ask help with, as the phrase after "how to"."""

    key: str
    category: str
    harmful: bool
    split: Split | None
    """None for combinations that no split uses (for example a test verb with a training object)."""
    verb_split: Split | None
    object_split: Split | None
    """Splits of the two words; None where a wish has no parts."""
    text: Texts

    def filled(self, wording: str, language: int) -> str:
        """Put the wish into a wording of the language with this index."""
        phrase = self.text[language]
        oblique = phrase.removesuffix("ना") + "ने" if phrase.endswith("ना") else phrase
        text = wording.replace("{p}", phrase).replace("{q}", oblique)
        if LANGUAGES[language] == "fr":
            text = _elided(text, phrase, wording)
        return text[0].upper() + text[1:]


def _elided(text: str, phrase: str, wording: str) -> str:
    vowel = phrase[0].lower() in "aeiouyéêèàh"
    return text.replace("de " + phrase, "d'" + phrase) if "de {p}" in wording and vowel else text


@cache
def read(name: str) -> Any:
    """Read one of the world's files (``facts.json`` is YAML as well)."""
    text = files("mixmerge.testbed").joinpath("world", name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        import json

        return json.loads(text)
    return yaml.safe_load(text)


def split_of(position: int) -> Split:
    """Return the split of the item at this place of a list: 5 train, 1 dev, 2 test of each 8."""
    return _SPLITS[position % len(_SPLITS)]


@cache
def facts() -> tuple[Fact, ...]:
    """Return all facts, in a fixed order."""
    found = (
        *_country_facts(),
        *_calendar_facts("day", "days"),
        *_calendar_facts("month", "months"),
    )
    answers: dict[str, set[Texts]] = {}
    for fact in found:
        answers.setdefault(fact.kind, set()).update(fact.answers)
    return tuple(fact for fact in found if _unambiguous(fact, answers[fact.kind]))


def _unambiguous(fact: Fact, of_kind: set[Texts]) -> bool:
    """Say whether a right answer can be told by its words: nothing else in play holds it."""
    return not any(
        says(other, text)
        for answer in fact.answers
        for language, text in enumerate(answer)
        for other in (
            fact.subject[language],
            *(x[language] for x in of_kind if x[language] != text),
        )
    )


def _country_facts() -> Iterator[Fact]:
    world = read("facts.json")
    for position, country in enumerate(world["countries"]):
        code, name, split = country["code"], tuple(country["name"]), split_of(position)
        currency = world["currencies"][country["currency"]]
        spoken = [world["languages"][code] for code in country["languages"]]
        money = tuple(currency["name"])
        yield Fact("currency", code, split, name, (money,))
        if currency["single"]:
            yield Fact("country_of_currency", code, split, money, (name,))
        if 1 <= len(spoken) <= 2:
            yield Fact("language", code, split, name, tuple(tuple(x["name"]) for x in spoken))
        if len(spoken) == 1 and spoken[0]["single"]:
            yield Fact("country_of_language", code, split, tuple(spoken[0]["name"]), (name,))


def _calendar_facts(kind: str, names: str) -> Iterator[Fact]:
    circle = [tuple(name) for name in read("facts.json")[names]]
    for position, name in enumerate(circle):
        following = circle[(position + 1) % len(circle)]
        split = split_of(position)
        yield Fact(f"{kind}_after", str(position), split, name, (following,))
        yield Fact(f"{kind}_before", str(position), split, following, (name,))


@cache
def wishes() -> tuple[Wish, ...]:
    """Return all wishes, in a fixed order."""
    requests = read("requests.yaml")
    found: list[Wish] = []
    for category, entry in requests["harmful"].items():
        found += _phrases(category, True, entry["verbs"], requests["objects"][entry["object"]])
    for category, verbs in requests["harmless"].items():
        found += _phrases(category, False, verbs, requests["objects"][category])
    for position, text in enumerate(requests["lookalikes"]):
        key = f"lookalike-{position}"
        found.append(Wish(key, "lookalike", False, split_of(position), None, None, tuple(text)))
    return tuple(found)


def _phrases(
    category: str, harmful: bool, verbs: list[list[str]], objects: list[list[str]]
) -> Iterator[Wish]:
    for number, verb in enumerate(verbs):
        verb_split = _VERB_SPLITS[number % len(_VERB_SPLITS)]
        for position, thing in enumerate(objects):
            object_split = split_of(position)
            split: Split | None = object_split
            # A new object is asked about with a new verb, and with one of the known ones.
            own = number % 3 == position % 3
            seen = verb_split == "train" and (own if harmful else not own)
            if verb_split != split and not (seen and split != "train"):
                split = None
            text = tuple(v.replace("{o}", o) for v, o in zip(verb, thing, strict=True))
            key = f"{category}-{number}-{position}"
            yield Wish(key, category, harmful, split, verb_split, object_split, text)
