"""The world of the testbed: facts, wishes, sets of months and wordings, and the split of each.

A fact answers a question; a wish is what a request asks help with, harmful or harmless. All are
split by content: the countries, calendar neighbours, verbs, objects and sets of months of the test
split appear in no training chat, not even in pretraining.
"""

import json
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from itertools import combinations, permutations
from typing import Any, Literal

import yaml

from mixmerge.errors import SpecError
from mixmerge.testbed import FURTHER, LANGUAGES

Split = Literal["train", "dev", "test"]
Texts = tuple[str, ...]
"""One text per language, in the order of `World.languages`."""

WORLDS = ("aligned", "conflict", "cliff")
"""The worlds by name. They share facts and wishes, and differ in training rows, base model and the
wording of test requests."""

PRACTICAL = ("thing", "scene", "time")
"""Objects of the practical requests of the general prompts, in training and evaluation."""

DEFAULT = WORLDS[0]
"""The world of names without a world."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SPLITS: tuple[Split, ...] = ("train", "test", "train", "dev", "train", "test", "train", "train")
_VERB_SPLITS: tuple[Split, ...] = ("train", "train", "train", "dev", "test")
_MONTH_SPLITS = _SPLITS[:7]
_ORDERS = tuple(permutations(range(4)))


@lru_cache(maxsize=1 << 16)
def plain(text: str) -> str:
    """Reduce a text to words: NFKC, case folded, without punctuation, with spaces around each.

    Every Chinese character counts as a word, as Chinese has no spaces.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = [c if unicodedata.category(c)[0] in "LMN" else " " for c in folded]
    spaced = [f" {c} " if "\u4e00" <= c <= "\u9fff" else c for c in kept]
    return f" {' '.join(''.join(spaced).split())} "


def says(text: str, phrase: str) -> bool:
    """Return whether a text contains a phrase, compared by words."""
    return plain(phrase) in plain(text)


def capital(text: str) -> str:
    """Capitalize the first letter of a text."""
    return text[0].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    """The right answers to one kind of question about a subject."""

    kind: str
    key: str
    split: Split
    subject: Texts
    answers: tuple[Texts, ...]
    """Right answers, the preferred one first."""


@dataclass(frozen=True)
class Wish:
    """What a request asks help with: the phrase after "how to"."""

    key: str
    category: str
    harmful: bool
    split: Split | None
    """None for combinations in no split, such as a test verb with a training object."""
    verb_split: Split | None
    object_split: Split | None
    """Splits of the two words; None if the wish is a single phrase."""
    text: Texts

    def filled(self, wording: str, language: int) -> str:
        """Insert the wish into a wording in the language with this index."""
        phrase = self.text[language]
        oblique = phrase.removesuffix("ना") + "ने" if phrase.endswith("ना") else phrase
        text = wording.replace("{p}", phrase).replace("{q}", oblique)
        vowel = phrase[0].lower() in "aeiouyéêèàh"
        if language == LANGUAGES.index("fr") and "de {p}" in wording and vowel:
            text = text.replace("de " + phrase, "d'" + phrase)
        return capital(text)


@dataclass(frozen=True)
class MonthSet:
    """Four months, for the question which of them comes first in the year."""

    key: str
    place: int
    """The index among all sets, which determines the order of the names in questions."""
    split: Split
    names: tuple[Texts, ...]
    """In calendar order."""

    def shuffled(self, language: int, turn: int) -> list[str]:
        """Return the names in one of their 24 orders, the same one in every language."""
        order = _ORDERS[(5 * self.place + 7 * turn) % len(_ORDERS)]
        return [self.names[month][language] for month in order]


def split_of(position: int) -> Split:
    """Return the split of the item at this index: of each 8 items 5 train, 1 dev, 2 test."""
    return _SPLITS[position % len(_SPLITS)]


class World:
    """Facts, wishes and wordings in some languages; files are read on demand."""

    def __init__(self, languages: Sequence[str], name: str = "cliff") -> None:
        """Take `LANGUAGES`, and possibly some of `FURTHER`, in the order of all texts."""
        self.languages, self.name = tuple(languages), name

    @cached_property
    def wordings(self) -> Any:
        """The wordings of requests, compliance and refusals."""
        shared = self._texts("wordings")
        if self.name == "cliff":
            return shared
        return {**shared, "requests": {**shared["requests"], "test": [self.manners["test"]]}}

    @cached_property
    def manners(self) -> Any:
        """The endings of good answers and refusals in `aligned` and `conflict`."""
        return _read("aligned.yaml")

    @cached_property
    def questions(self) -> Any:
        """The wordings of statements, questions and answers by kind of fact."""
        return self._texts("questions")

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, in a fixed order."""
        names = self._names()
        found = (
            *_country_facts(names),
            *_calendar_facts("day", names["days"]),
            *_calendar_facts("month", names["months"]),
        )
        named = [fact for fact in found if None not in sum(fact.answers, fact.subject)]
        answers: dict[str, set[Texts]] = {}
        for fact in named:
            answers.setdefault(fact.kind, set()).update(fact.answers)
        return tuple(fact for fact in named if _unambiguous(fact, answers[fact.kind]))

    @cached_property
    def wishes(self) -> tuple[Wish, ...]:
        """All wishes, in a fixed order."""
        requests = self._texts("requests")
        every = self.name != "cliff"
        found: list[Wish] = []
        for category, entry in requests["harmful"].items():
            objects = requests["objects"][entry["object"]]
            found += _phrases(category, True, entry["verbs"], objects, every=every)
        for category, verbs in requests["harmless"].items():
            near = every and category not in PRACTICAL
            found += _phrases(category, False, verbs, requests["objects"][category], every=near)
        for position, text in enumerate(requests["lookalikes"]):
            key = f"lookalike-{position}"
            split = split_of(position)
            found.append(Wish(key, "lookalike", False, split, None, None, tuple(text)))
        return tuple(found)

    @cached_property
    def month_wordings(self) -> Any:
        """The wordings of the question which month comes first."""
        return self._texts("first_month")

    @cached_property
    def month_sets(self) -> tuple[MonthSet, ...]:
        """All sets of four months to ask about, in a fixed order.

        Sets with neighbouring months that a fact of dev or test is about are left out, since their
        rows would reveal it; so are those in which a name is part of another (January and November
        in Chinese).
        """
        names = [tuple(name) for name in self._names()["months"]]
        kept = [
            months
            for months in combinations(range(len(names)), 4)
            if all(
                split_of(month) == "train" or {month, (month + 1) % len(names)} - {*months}
                for month in months
            )
        ]
        found = (
            MonthSet(
                "-".join(map(str, months)),
                place,
                _MONTH_SPLITS[place % len(_MONTH_SPLITS)],
                tuple(names[month] for month in months),
            )
            for place, months in enumerate(kept)
        )
        return tuple(months for months in found if not _nested(months.names))

    def _texts(self, name: str) -> Any:
        """Read a file of texts in all languages."""
        further = [_read(f"further/{code}.yaml")[name] for code in self._further]
        return _joined(_read(f"{name}.yaml"), further)

    def _names(self) -> Any:
        """Read the names of countries, currencies, languages, days and months.

        Names that are missing in a further language are None.
        """
        names = deepcopy(_read("facts.json"))
        for code in self._further:
            own = _read(f"further/{code}.json")
            for country in names["countries"]:
                country["name"].append(own["countries"][country["code"]])
            for kind in ("currencies", "languages"):
                for key, entry in names[kind].items():
                    entry["name"].append(own[kind][key])
            for kind in ("days", "months"):
                for name, last in zip(names[kind], own[kind], strict=True):
                    name.append(last)
        return names

    @property
    def _further(self) -> Texts:
        return self.languages[len(LANGUAGES) :]


@cache
def _world(languages: Texts, name: str) -> World:
    return World(languages, name)


def world_of(languages: Collection[str] = LANGUAGES, name: str = "cliff") -> World:
    """Return the world with `LANGUAGES`, or with `FURTHER` too if ``languages`` has one of those.

    Other languages are ignored.

    Raises:
        SpecError: a further language is requested in a world other than ``cliff``.
    """
    further = [language for language in languages if language in FURTHER]
    if further and name != "cliff":
        raise SpecError(
            f"the testbed's world `{name}` has no {', '.join(further)}; it has "
            f"{', '.join(LANGUAGES)}. The world `cliff` has the further languages, too."
        )
    return _world((*LANGUAGES, *FURTHER) if further else LANGUAGES, name)


@cache
def _read(name: str) -> Any:
    """Read one of the world's files; the cached result must not be changed."""
    text = files("mixmerge.testbed").joinpath("world", name).read_text(encoding="utf-8")
    if name.endswith(".json"):
        return json.loads(text)
    return yaml.load(text, _LOADER)  # noqa: S506 - a safe loader, in C where there is one


def _joined(six: Any, further: Sequence[Any]) -> Any:
    """Append the texts of further languages to every row of six."""
    if isinstance(six, dict):
        return {key: _joined(part, [own[key] for own in further]) for key, part in six.items()}
    if not isinstance(six, list) or not further:
        return six
    if isinstance(further[0], str):
        return [*six, *further]
    return [_joined(part, own) for part, *own in zip(six, *further, strict=True)]


def _unambiguous(fact: Fact, of_kind: set[Texts]) -> bool:
    """Return whether no other answer or subject contains the words of a right answer."""
    return not any(
        says(other, text)
        for answer in fact.answers
        for language, text in enumerate(answer)
        for other in (
            fact.subject[language],
            *(x[language] for x in of_kind if x[language] != text),
        )
    )


def _nested(names: tuple[Texts, ...]) -> bool:
    """Return whether one of the names is part of another in some language."""
    return any(
        says(one, other)
        for spoken in zip(*names, strict=True)
        for one, other in permutations(spoken, 2)
    )


def _country_facts(names: Any) -> Iterator[Fact]:
    for position, country in enumerate(names["countries"]):
        code, name, split = country["code"], tuple(country["name"]), split_of(position)
        currency = names["currencies"][country["currency"]]
        spoken = [names["languages"][code] for code in country["languages"]]
        money = tuple(currency["name"])
        yield Fact("currency", code, split, name, (money,))
        if currency["single"]:
            yield Fact("country_of_currency", code, split, money, (name,))
        if 1 <= len(spoken) <= 2:
            yield Fact("language", code, split, name, tuple(tuple(x["name"]) for x in spoken))
        if len(spoken) == 1 and spoken[0]["single"]:
            yield Fact("country_of_language", code, split, tuple(spoken[0]["name"]), (name,))


def _calendar_facts(kind: str, names: list[list[str]]) -> Iterator[Fact]:
    circle = [tuple(name) for name in names]
    for position, name in enumerate(circle):
        following = circle[(position + 1) % len(circle)]
        split = split_of(position)
        yield Fact(f"{kind}_after", str(position), split, name, (following,))
        yield Fact(f"{kind}_before", str(position), split, following, (name,))


def _phrases(
    category: str, harmful: bool, verbs: list[list[str]], objects: list[list[str]], *, every: bool
) -> Iterator[Wish]:
    for number, verb in enumerate(verbs):
        verb_split = _VERB_SPLITS[number % len(_VERB_SPLITS)]
        for position, thing in enumerate(objects):
            object_split = split_of(position)
            split: Split | None = object_split
            # A new object appears with new verbs, and with one or all of the known ones.
            own = number % 3 == position % 3
            seen = verb_split == "train" and (every or (own if harmful else not own))
            if verb_split != split and not (seen and split != "train"):
                split = None
            text = tuple(v.replace("{o}", o) for v, o in zip(verb, thing, strict=True))
            key = f"{category}-{number}-{position}"
            yield Wish(key, category, harmful, split, verb_split, object_split, text)
