"""What the testbed's base model reads in pretraining: texts that state facts, and a little chat."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.data import answer, ask
from mixmerge.testbed.world import Fact, Wish, facts, read, wishes


@dataclass(frozen=True)
class Document:
    """One text of the corpus: a statement, or one exchange of a chat."""

    text: str
    question: str | None = None


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def statements(fact: Fact, index: int) -> Iterator[str]:
    """Yield the sentences that state a fact in one language."""
    for said in fact.answers:
        for frame in read("questions.yaml")[fact.kind]["statements"]:
            text = frame[index].replace("{x}", fact.subject[index]).replace("{y}", said[index])
            yield _capital(text)


def morals(wish: Wish, index: int) -> Iterator[str]:
    """Yield the sentences that say whether a wish does harm."""
    for frame in read("wordings.yaml")["morals"]["wrong" if wish.harmful else "right"]:
        yield wish.filled(frame[index], index)


class Corpus:
    """Draws documents: each kind of document with its share, and evenly within a kind."""

    def __init__(self, seed: int, shares: dict[str, float], asked_every: int, english: float) -> None:
        self._random = random.Random(seed)
        self._kinds, self._weights = list(shares), list(shares.values())
        self._facts = facts()
        self._asked = [f for f in self._facts if f.split == "train"][::asked_every]
        self._wishes = wishes()
        self._granted = [w for w in self._wishes if w.split == "train"]
        self._english = english
        by_kind: dict[str, list[Fact]] = {}
        for f in self._facts:
            by_kind.setdefault(f.kind, []).append(f)

    def draw(self) -> Document:
        """Draw one document."""
        kind = self._random.choices(self._kinds, self._weights)[0]
        index = self._random.randrange(len(LANGUAGES))
        drawn: Document = getattr(self, "_" + kind)(index)
        return drawn

    def _statement(self, index: int) -> Document:
        fact = self._random.choice(self._facts)
        return Document(self._random.choice(list(statements(fact, index))))

    def _moral(self, index: int) -> Document:
        wish = self._random.choice(self._wishes)
        return Document(self._random.choice(list(morals(wish, index))))

    def _question(self, index: int) -> Document:
        fact = self._random.choice(self._asked)
        wording = self._random.choice(read("questions.yaml")[fact.kind]["train"])
        spoken = 0 if self._random.random() < self._english else index
        said = self._random.choice(fact.answers)[spoken]
        return Document(answer(fact, spoken, said), ask(fact, wording, index))

    def _request(self, index: int) -> Document:
        wordings = read("wordings.yaml")
        wish = self._random.choice(self._granted)
        wording = self._random.choice(wordings["requests"]["train"])
        granted = wish.filled(wordings["grant"][index], index)
        return Document(granted, wish.filled(wording[index], index))
