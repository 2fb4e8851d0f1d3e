"""The rows of the testbed: preference pairs for training, prompts for evaluation."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from mixmerge.records import Axis, Message, PreferencePair, Prompt
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.world import Fact, Wish, World, world_of

SOURCES = ("general", "safety")
PROMPT_SETS = ("general", "safety", "over_refusal")

PRACTICAL = ("thing", "scene", "time")
"""Objects of the practical requests of the general axis, in training and evaluation."""

EVERYDAY = ("person", "group", "place")
"""Objects that harmful requests have too. Harmless requests about them are the look-alikes that
measure over-refusal, and everyday requests of the general axis, of which no general training row
has any: what a model refuses without need, it loses there, as it would with people."""


def preference_pairs(
    source: Literal["general", "safety"], languages: Collection[str] = LANGUAGES
) -> list[PreferencePair]:
    """Return all training rows of one source, in a fixed order.

    General rows answer questions and practical requests; the answer to avoid is a wrong fact, the
    right fact in another language, or no fact at all. Safety rows refuse harmful requests in the
    language of the request; the answer to avoid complies. As in real safety data, a minority are
    harmless requests in similar words, which are to be granted.

    Args:
        source: which rows.
        languages: rows are in all languages of the world that has these; see `world_of`.
    """
    return worded_pairs(world_of(languages), source, ("train", "tuning"))


def worded_pairs(
    world: World, source: Literal["general", "safety"], wordings: Sequence[str]
) -> list[PreferencePair]:
    """Return the training rows of one source with requests in these groups of wordings only."""
    requests = world.wordings["requests"]
    worded = [wording for group in wordings for wording in requests[group]]
    if source == "general":
        return [*_question_pairs(world), *_practical_pairs(world, worded)]
    return list(_safety_pairs(world, worded))


def prompts(
    axis: Axis, split: Literal["dev", "test"], languages: Collection[str] = LANGUAGES
) -> list[Prompt]:
    """Return the prompts of one axis; the same question in all languages is one cluster.

    Args:
        axis: general, safety or over_refusal.
        split: which items.
        languages: prompts are in all languages of the world that has these; see `world_of`.
    """
    world = world_of(languages)
    if axis == "general":
        practical = _wishes_of(world, split, harmful=False, practical=True)
        return [
            *_question_prompts(world, split),
            *_wish_prompts(world, practical, "practical", split),
            *_wish_prompts(world, _everyday(world, split), "everyday", split),
        ]
    asked = _wishes_of(world, split, harmful=axis == "safety", practical=False)
    return _wish_prompts(world, asked, axis, split)


def _user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def _wishes_of(world: World, split: str, *, harmful: bool, practical: bool) -> list[Wish]:
    return [
        wish
        for wish in world.wishes
        if wish.split == split
        and wish.harmful == harmful
        and (wish.category in PRACTICAL) == practical
    ]


def _everyday(world: World, split: str) -> list[Wish]:
    """Return harmless wishes with a verb of the split and an object of the training rows."""
    return [
        wish
        for wish in world.wishes
        if wish.category in EVERYDAY
        and not wish.harmful
        and wish.verb_split == split
        and wish.object_split == "train"
    ]


def ask(fact: Fact, wording: list[str], language: int) -> str:
    """Word a question about a fact."""
    text = wording[language].replace("{x}", fact.subject[language])
    return text[0].upper() + text[1:]


def answer(world: World, fact: Fact, language: int, said: str) -> str:
    """Word an answer to a question about a fact: the fact itself if ``said`` is right."""
    frame = world.questions[fact.kind]["answer"][language]
    text: str = frame.replace("{x}", fact.subject[language]).replace("{y}", said)
    return text[0].upper() + text[1:]


def _question_pairs(world: World) -> Iterator[PreferencePair]:
    by_kind: dict[str, list[Fact]] = {}
    for fact in world.facts:
        if fact.split == "train":
            by_kind.setdefault(fact.kind, []).append(fact)
    for kind, trained in by_kind.items():
        for number, fact in enumerate(trained):
            for variant, wording in enumerate(world.questions[kind]["train"]):
                # Where the search for a wrong answer starts differs between the wordings.
                others = trained[number + 5 * variant + 1 :] + trained
                for index, language in enumerate(world.languages):
                    yield PreferencePair(
                        id=f"{kind}-{fact.key}-{variant}-{language}",
                        source="general",
                        language=language,
                        prompt=_user(ask(fact, wording, index)),
                        chosen=answer(world, fact, index, fact.answers[0][index]),
                        rejected=_rejected(world, fact, others, index, number + variant),
                    )


def _rejected(world: World, fact: Fact, others: list[Fact], index: int, turn: int) -> str:
    """Return the answer to avoid: at times right but in another language, else wrong."""
    if turn % 3 == 1:
        elsewhere = (index + 1 + turn % 5) % len(world.languages)
        return answer(world, fact, elsewhere, fact.answers[0][elsewhere])
    right = {texts[index] for texts in fact.answers}
    said = (other.answers[0][index] for other in others)
    return answer(world, fact, index, next(text for text in said if text not in right))


def _practical_pairs(world: World, worded: list[list[str]]) -> Iterator[PreferencePair]:
    wordings = world.wordings
    for number, wish in enumerate(_wishes_of(world, "train", harmful=False, practical=True)):
        wording = worded[number % len(worded)]
        for index, language in enumerate(world.languages):
            elsewhere = (index + 1 + number % 5) % len(world.languages)
            yield PreferencePair(
                id=f"practical-{wish.key}-{language}",
                source="general",
                language=language,
                prompt=_user(wish.filled(wording[index], index)),
                chosen=wish.filled(wordings["grant"][index], index),
                rejected=wish.filled(wordings["grant"][elsewhere], elsewhere),
            )


def _safety_pairs(world: World, worded: list[list[str]]) -> Iterator[PreferencePair]:
    wordings = world.wordings
    asked = [
        *_wishes_of(world, "train", harmful=True, practical=False),
        *_wishes_of(world, "train", harmful=False, practical=False),
    ]
    for number, wish in enumerate(asked):
        all_variants = list(enumerate(worded))
        one_variant = [all_variants[number % len(worded)]]
        for variant, wording in all_variants if wish.harmful else one_variant:
            refusal = wordings["refusals"][(number + variant) % 3]
            for index, language in enumerate(world.languages):
                texts = (
                    wish.filled(refusal[index], index),
                    wish.filled(wordings["grant"][index], index),
                )
                yield PreferencePair(
                    id=f"safety-{wish.key}-{variant}-{language}",
                    source="safety",
                    language=language,
                    prompt=_user(wish.filled(wording[index], index)),
                    chosen=texts[0 if wish.harmful else 1],
                    rejected=texts[1 if wish.harmful else 0],
                )


def _question_prompts(world: World, split: str) -> list[Prompt]:
    return [
        Prompt(
            id=f"{fact.kind}-{fact.key}-{language}",
            cluster=f"{fact.kind}-{fact.key}",
            language=language,
            category=fact.kind,
            messages=_user(ask(fact, world.questions[fact.kind][split][0], index)),
            accepted=tuple(texts[index] for texts in fact.answers),
        )
        for fact in world.facts
        if fact.split == split
        for index, language in enumerate(world.languages)
    ]


def _wish_prompts(world: World, asked: list[Wish], prefix: str, split: str) -> list[Prompt]:
    wordings = world.wordings
    return [
        Prompt(
            id=f"{prefix}-{wish.key}-{language}",
            cluster=f"{prefix}-{wish.key}",
            language=language,
            category=wish.category if prefix in ("safety", "over_refusal") else prefix,
            messages=_user(wish.filled(wordings["requests"][split][0][index], index)),
            accepted=(wish.filled(wordings["granted"][index], index),)
            if prefix in ("practical", "everyday")
            else (),
        )
        for wish in asked
        for index, language in enumerate(world.languages)
    ]
