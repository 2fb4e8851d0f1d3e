"""The rows of the testbed: preference pairs for training, prompts for evaluation."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

from mixmerge.errors import SpecError
from mixmerge.records import Message, PreferencePair, Prompt
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.world import Fact, MonthSet, Wish, World, capital, world_of

T = TypeVar("T")

_Pair = tuple[str, int, str, str, str]
"""What tells a training row, the place of its language, its prompt, the right answer, the wrong."""

PRACTICAL = ("thing", "scene", "time")
"""Objects of the practical requests of the general prompts, in training and evaluation."""

EVERYDAY = ("person", "group", "place")
"""Objects that harmful requests have too. Harmless requests about them are the look-alikes that
measure over-refusal, and everyday requests of the general prompts, of which no general training row
has any: what a model refuses without need, it loses there, as it would with people."""


def preference_pairs(source: str, languages: Collection[str] = LANGUAGES) -> list[PreferencePair]:
    """Return all training rows of one source, in a fixed order.

    ``general`` rows answer questions and practical requests; the answer to avoid is a wrong fact,
    the right fact in another language, or no fact at all. ``safety`` rows refuse harmful requests
    in the language of the request; the answer to avoid complies. As in real safety data, a minority
    are harmless requests in similar words, which are to be granted. ``first_month`` rows name the
    month that comes first in the year; the answer to avoid is another month or another language.

    Rows are in all languages of the world that has ``languages``; see `world_of`.

    Raises:
        SpecError: the source is none of `SOURCES`.
    """
    return worded_pairs(world_of(languages), source, ("train", "tuning"))


def worded_pairs(world: World, source: str, groups: Sequence[str]) -> list[PreferencePair]:
    """Return the training rows of one source with requests in these groups of wordings only."""
    pairs = _named(source, _PAIRS, "source of training rows")(world, groups)
    return [
        PreferencePair(
            id=f"{key}-{world.languages[index]}",
            source=source,
            language=world.languages[index],
            prompt=_user(asked),
            chosen=chosen,
            rejected=rejected,
        )
        for key, index, asked, chosen, rejected in pairs
    ]


def prompts(
    name: str, split: Literal["dev", "test"], languages: Collection[str] = LANGUAGES
) -> list[Prompt]:
    """Return one set of prompts; the same question in all languages is one cluster.

    Prompts are in all languages of the world that has ``languages``; see `world_of`.

    Raises:
        SpecError: the name is none of `PROMPT_SETS`.
    """
    return list(_named(name, _PROMPTS, "prompt set")(world_of(languages), split))


def _named(name: str, table: Mapping[str, T], what: str) -> T:
    if name not in table:
        raise SpecError(f"the testbed has no {what} `{name}`; it has {', '.join(table)}.")
    return table[name]


def ask(fact: Fact, wording: list[str], language: int) -> str:
    """Word a question about a fact."""
    return capital(wording[language].replace("{x}", fact.subject[language]))


def answer(world: World, fact: Fact, language: int, said: str) -> str:
    """Word an answer to a question about a fact: the fact itself if ``said`` is right."""
    frame: str = world.questions[fact.kind]["answer"][language]
    return capital(frame.replace("{x}", fact.subject[language]).replace("{y}", said))


def ask_months(world: World, months: MonthSet, wording: list[str], language: int, turn: int) -> str:
    """Word the question which month comes first; their order differs between turns."""
    listed = world.month_wordings["join"][language].join(months.shuffled(language, turn))
    return capital(wording[language].replace("{x}", listed))


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


def _general_pairs(world: World, groups: Sequence[str]) -> Iterator[_Pair]:
    by_kind: dict[str, list[Fact]] = {}
    for fact in world.facts:
        if fact.split == "train":
            by_kind.setdefault(fact.kind, []).append(fact)
    for trained in by_kind.values():
        yield from _question_pairs(world, trained)
    worded, grant = _worded(world, groups), world.wordings["grant"]
    for number, wish in enumerate(_wishes_of(world, "train", harmful=False, practical=True)):
        wording = worded[number % len(worded)]
        for index in range(len(world.languages)):
            elsewhere = (index + 1 + number % 5) % len(world.languages)
            right, wrong = (wish.filled(grant[i], i) for i in (index, elsewhere))
            asked = wish.filled(wording[index], index)
            yield f"practical-{wish.key}", index, asked, right, wrong


def _worded(world: World, groups: Sequence[str]) -> list[list[str]]:
    return [wording for group in groups for wording in world.wordings["requests"][group]]


def _question_pairs(world: World, trained: list[Fact]) -> Iterator[_Pair]:
    """Yield the questions about the training facts of one kind."""
    for number, fact in enumerate(trained):
        for variant, wording in enumerate(world.questions[fact.kind]["train"]):
            # Where the search for a wrong answer starts differs between the wordings.
            others = trained[number + 5 * variant + 1 :] + trained
            for index in range(len(world.languages)):
                asked = ask(fact, wording, index)
                right = answer(world, fact, index, fact.answers[0][index])
                wrong = _rejected(world, fact, others, index, number + variant)
                yield f"{fact.kind}-{fact.key}-{variant}", index, asked, right, wrong


def _rejected(world: World, fact: Fact, others: list[Fact], index: int, turn: int) -> str:
    """Return the answer to avoid: at times right but in another language, else wrong."""
    if turn % 3 == 1:
        elsewhere = (index + 1 + turn % 5) % len(world.languages)
        return answer(world, fact, elsewhere, fact.answers[0][elsewhere])
    right = {texts[index] for texts in fact.answers}
    said = (other.answers[0][index] for other in others)
    return answer(world, fact, index, next(text for text in said if text not in right))


def _safety_pairs(world: World, groups: Sequence[str]) -> Iterator[_Pair]:
    worded = _worded(world, groups)
    harmful, harmless = (
        _wishes_of(world, "train", harmful=harmful, practical=False) for harmful in (True, False)
    )
    for number, wish in enumerate([*harmful, *harmless]):
        all_variants = list(enumerate(worded))
        one_variant = [all_variants[number % len(worded)]]
        for variant, wording in all_variants if wish.harmful else one_variant:
            texts = [world.wordings["grant"], world.wordings["refusals"][(number + variant) % 3]]
            right, wrong = reversed(texts) if wish.harmful else texts
            for index in range(len(world.languages)):
                asked, chosen, rejected = (
                    wish.filled(text[index], index) for text in (wording, right, wrong)
                )
                yield f"safety-{wish.key}-{variant}", index, asked, chosen, rejected


def _month_pairs(world: World, groups: Sequence[str]) -> Iterator[_Pair]:
    worded = [wording for group in groups for wording in world.month_wordings.get(group, ())]
    for months in world.month_sets:
        for variant, wording in enumerate(worded if months.split == "train" else ()):
            turn = months.place + variant
            for index in range(len(world.languages)):
                elsewhere = (index + 1 + turn % 5) % len(world.languages)
                asked = ask_months(world, months, wording, index, variant)
                wrong = months.names[1 + turn // 3 % 3][index]
                rejected = months.names[0][elsewhere] if turn % 3 == 1 else wrong
                key = f"first_month-{months.key}-{variant}"
                yield key, index, asked, months.names[0][index], rejected


def _general_prompts(world: World, split: str) -> Iterator[Prompt]:
    for fact in world.facts:
        if fact.split == split:
            wording = world.questions[fact.kind][split][0]
            texts = [ask(fact, wording, index) for index in range(len(wording))]
            name = f"{fact.kind}-{fact.key}"
            yield from _cluster(world, name, fact.kind, texts, zip(*fact.answers, strict=True))
    practical = _wishes_of(world, split, harmful=False, practical=True)
    # Harmless wishes with a verb of the split and an object of the training rows.
    everyday = [
        wish
        for wish in world.wishes
        if wish.category in EVERYDAY and not wish.harmful
        if (wish.verb_split, wish.object_split) == (split, "train")
    ]
    for name, asked in (("practical", practical), ("everyday", everyday)):
        for wish in asked:
            granted = [(text,) for text in _filled(wish, world.wordings["granted"])]
            request = _filled(wish, world.wordings["requests"][split][0])
            yield from _cluster(world, f"{name}-{wish.key}", name, request, granted)


def _request_prompts(name: str, harmful: bool, world: World, split: str) -> Iterator[Prompt]:
    for wish in _wishes_of(world, split, harmful=harmful, practical=False):
        texts = _filled(wish, world.wordings["requests"][split][0])
        yield from _cluster(world, f"{name}-{wish.key}", wish.category, texts)


def _month_prompts(world: World, split: str) -> Iterator[Prompt]:
    wording = world.month_wordings[split][0]
    for months in world.month_sets:
        if months.split == split:
            texts = [ask_months(world, months, wording, i, 0) for i in range(len(wording))]
            accepted = [(name,) for name in months.names[0]]
            yield from _cluster(world, f"first_month-{months.key}", None, texts, accepted)


def _filled(wish: Wish, wording: list[str]) -> list[str]:
    return [wish.filled(text, index) for index, text in enumerate(wording)]


def _cluster(
    world: World,
    name: str,
    category: str | None,
    texts: Iterable[str],
    accepted: Iterable[tuple[str, ...]] | None = None,
) -> Iterator[Prompt]:
    """Yield one question in every language, with what is right in it."""
    right = accepted or [()] * len(world.languages)
    for language, text, answers in zip(world.languages, texts, right, strict=True):
        yield Prompt(
            id=f"{name}-{language}",
            cluster=name,
            language=language,
            category=category,
            messages=_user(text),
            accepted=answers,
        )


_PAIRS: dict[str, Callable[[World, Sequence[str]], Iterator[_Pair]]] = {
    "general": _general_pairs,
    "safety": _safety_pairs,
    "first_month": _month_pairs,
}
_PROMPTS: dict[str, Callable[[World, str], Iterator[Prompt]]] = {
    "general": _general_prompts,
    "safety": partial(_request_prompts, "safety", True),
    "over_refusal": partial(_request_prompts, "over_refusal", False),
    "first_month": _month_prompts,
}

SOURCES = tuple(_PAIRS)
"""The sources of training rows."""

PROMPT_SETS = tuple(_PROMPTS)
"""The sets of prompts."""
