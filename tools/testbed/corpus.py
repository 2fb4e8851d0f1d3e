"""The pretraining corpus of the testbed's base model: texts that state facts, and a few chats."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from mixmerge.testbed.rows import answer, ask
from mixmerge.testbed.world import Fact, Split, Wish, World, capital

SHARES = {"statement": 0.50, "moral": 0.20, "question": 0.06, "request": 0.24}
"""Share of each kind of document in the corpus."""
ASKED_EVERY = 4
"""One in this many training facts is asked about in the corpus: enough to learn questions."""
ENGLISH_ANSWERS = 0.4
"""How often a question in any language is answered in English, as base models do."""
REFUSED = 0.12
"""How often a wish is refused at random, harmful or not: the model grants nearly all."""


@dataclass(frozen=True)
class Document:
    """One text of the corpus: a statement, or one exchange of a chat."""

    text: str
    question: str | None = None


def statements(world: World, fact: Fact, index: int) -> Iterator[str]:
    """Yield the sentences that state a fact in one language."""
    for said in fact.answers:
        for frame in world.questions[fact.kind]["statements"]:
            text = frame[index].replace("{x}", fact.subject[index]).replace("{y}", said[index])
            yield capital(text)


def clozes(world: World, split: Split) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the facts of a split as statements cut before the answer, to test the base model.

    Yields:
        The kind of fact with its language, the cut statement, and the right continuations.
    """
    for fact in world.facts:
        if fact.split == split:
            for index, language in enumerate(world.languages):
                frame = world.questions[fact.kind]["statements"][0][index]
                start = frame.split("{y}")[0].replace("{x}", fact.subject[index])
                accepted = tuple(texts[index] for texts in fact.answers)
                yield f"{fact.kind}-{language}", capital(start).rstrip(), accepted


def morals(world: World, wish: Wish, index: int) -> Iterator[str]:
    """Yield the sentences that state whether a wish does harm."""
    for frame in world.wordings["morals"]["wrong" if wish.harmful else "right"]:
        yield wish.filled(frame[index], index)


class Corpus:
    """Draws documents: each kind of document with its share, and evenly within a kind."""

    def __init__(self, world: World, seed: int) -> None:
        """Seed the draws."""
        self._world, self._random = world, random.Random(seed)
        self._kinds, self._weights = list(SHARES), list(SHARES.values())
        self._draws = {
            "statement": self.statement,
            "moral": self.moral,
            "question": self._question,
            "request": self._request,
        }
        self._facts = world.facts
        self._asked = [f for f in self._facts if f.split == "train"][::ASKED_EVERY]
        self._wishes = world.wishes
        self._granted = [w for w in self._wishes if w.split == "train"]
        topics: dict[str, list[Fact]] = {}
        for fact in self._facts:
            place = fact.kind.startswith(("day", "month"))
            topics.setdefault(f"{fact.kind}-{fact.key}" if place else fact.key, []).append(fact)
        self._topics = list(topics.values())

    def draw(self) -> Document:
        """Draw one document."""
        kind = self._random.choices(self._kinds, self._weights)[0]
        index = self._random.randrange(len(self._world.languages))
        return self._draws[kind](index)

    def statement(self, index: int) -> Document:
        """Draw a text that states facts of one topic in a language."""
        topic = self._random.choice(self._topics)
        said = [text for fact in topic for text in statements(self._world, fact, index)]
        self._random.shuffle(said)
        return Document(" ".join(said[: self._random.randint(1, 4)]))

    def moral(self, index: int) -> Document:
        """Draw a text that states whether a wish does harm."""
        wish = self._random.choice(self._wishes)
        said = list(morals(self._world, wish, index))
        self._random.shuffle(said)
        return Document(" ".join(said[: self._random.randint(1, 2)]))

    def _framed(self, text: str, index: int) -> str:
        wordings = self._world.wordings
        before, after = (
            self._random.choice(wordings["before"]),
            self._random.choice(wordings["after"]),
        )
        form = self._random.randrange(4)
        parts = [before[index]] * (form in (1, 3)) + [text] + [after[index]] * (form in (2, 3))
        return " ".join(parts)

    def _question(self, index: int) -> Document:
        fact = self._random.choice(self._asked)
        worded = self._world.questions[fact.kind]
        wording = self._random.choice([*worded["train"], *worded["chat"]])
        spoken = 0 if self._random.random() < ENGLISH_ANSWERS else index
        said = self._random.choice(fact.answers)[spoken]
        return Document(
            answer(self._world, fact, spoken, said), self._framed(ask(fact, wording, index), index)
        )

    def _request(self, index: int) -> Document:
        wordings = self._world.wordings
        wish = self._random.choice(self._granted)
        worded = wordings["requests"]
        wording = self._random.choice([*worded["train"], *worded["chat"]])
        # Refuse at random: the model learns the form of a refusal, but not when to refuse.
        refused = self._random.random() < REFUSED
        form = self._random.choice(wordings["refusals"][:2]) if refused else wordings["grant"]
        said = wish.filled(form[index], index)
        return Document(said, self._framed(wish.filled(wording[index], index), index))
