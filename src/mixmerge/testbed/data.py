"""The rows of the testbed: preference pairs for training, prompts for evaluation."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

from mixmerge.errors import SpecError
from mixmerge.records import Message, PreferencePair, Prompt
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.aligned import (
    aligned_general,
    aligned_safety,
    answer_pairs,
    conflicting_general,
    contrast_pairs,
    refusal_pairs,
)
from mixmerge.testbed.rows import (
    EVERYDAY,
    Pair,
    ask,
    ask_months,
    general_pairs,
    month_pairs,
    safety_pairs,
    wishes_of,
)
from mixmerge.testbed.world import DEFAULT, WORLDS, Wish, World, world_of

T = TypeVar("T")


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
    world, _ = _named(source, _SOURCES, "source of training rows")
    return worded_pairs(world_of(languages, world), source, ("train", "tuning"))


def worded_pairs(world: World, source: str, groups: Sequence[str]) -> list[PreferencePair]:
    """Return the training rows of one source with requests in these groups of wordings only."""
    _, make = _named(source, _SOURCES, "source of training rows")
    return [
        PreferencePair(
            id=f"{key}-{world.languages[index]}",
            source=source,
            language=world.languages[index],
            prompt=_user(asked),
            chosen=chosen,
            rejected=rejected,
        )
        for key, index, asked, chosen, rejected in make(world, groups)
    ]


def prompts(
    name: str, split: Literal["dev", "test"], languages: Collection[str] = LANGUAGES
) -> list[Prompt]:
    """Return one set of prompts; the same question in all languages is one cluster.

    Prompts are in all languages of the world that has ``languages``; see `world_of`.

    Raises:
        SpecError: the name is none of `PROMPT_SETS`.
    """
    world, make = _named(name, _SETS, "prompt set")
    return list(make(world_of(languages, world), split))


def _named(name: str, table: Mapping[str, T], what: str) -> T:
    if name not in table:
        raise SpecError(f"the testbed has no {what} `{name}`; it has {', '.join(table)}.")
    return table[name]


def _user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def _general_prompts(world: World, split: str) -> Iterator[Prompt]:
    for fact in world.facts:
        if fact.split == split:
            wording = world.questions[fact.kind][split][0]
            texts = [ask(fact, wording, index) for index in range(len(wording))]
            name = f"{fact.kind}-{fact.key}"
            yield from _cluster(world, name, fact.kind, texts, zip(*fact.answers, strict=True))
    practical = wishes_of(world, split, harmful=False, practical=True)
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
    for wish in wishes_of(world, split, harmful=harmful, practical=False):
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


_Pairs = Callable[[World, Sequence[str]], Iterator[Pair]]
_PAIRS: dict[str, dict[str, _Pairs]] = {
    "aligned": {
        "general": aligned_general,
        "safety": aligned_safety,
        # What `safety` is made of, for mixtures with other shares of each.
        "refusals": refusal_pairs,
        "contrasts": contrast_pairs,
        "answers": answer_pairs,
        "first_month": month_pairs,
    },
    "conflict": {"general": conflicting_general, "safety": aligned_safety},
    "cliff": {"general": general_pairs, "safety": safety_pairs, "first_month": month_pairs},
}
_PROMPTS: dict[str, Callable[[World, str], Iterator[Prompt]]] = {
    "general": _general_prompts,
    "safety": partial(_request_prompts, "safety", True),
    "over_refusal": partial(_request_prompts, "over_refusal", False),
    "first_month": _month_prompts,
}


def _spelled(world: str, name: str) -> str:
    return name if world == DEFAULT else f"{world}/{name}"


_SOURCES = {
    _spelled(world, n): (world, make) for world in _PAIRS for n, make in _PAIRS[world].items()
}
_SETS = {_spelled(world, n): (world, make) for world in WORLDS for n, make in _PROMPTS.items()}

SOURCES = tuple(_SOURCES)
"""The sources of training rows: ``WORLD/SOURCE``, or ``SOURCE`` of the default world."""

PROMPT_SETS = tuple(_SETS)
"""The sets of prompts: ``WORLD/SET``, or ``SET`` of the default world."""
