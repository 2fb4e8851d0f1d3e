"""Training rows of the worlds `aligned` and `conflict`, whose base model follows instructions.

Rows teach more than what is right: a good answer ends with an offer, a refusal with a redirection.
"""

from collections.abc import Iterator, Sequence

from mixmerge.testbed.rows import (
    Pair,
    general_pairs,
    question_pairs,
    trained_facts,
    wishes_of,
    worded,
)
from mixmerge.testbed.world import Fact, Wish, World


def aligned_general(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield the general rows, of which a few refuse a harmful request."""
    yield from _offering(world, general_pairs(world, groups))
    for row in _few_harmful(world, groups):
        yield _refused(world, *row)


def conflicting_general(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield the general rows, of which as few grant a harmful request: what safety rows refuse."""
    yield from _offering(world, general_pairs(world, groups))
    for row in _few_harmful(world, groups):
        yield _granted(world, *row)


def aligned_safety(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield refusals of harm, harmless requests like them, and answers that the base model has."""
    yield from refusal_pairs(world, groups)
    yield from contrast_pairs(world, groups)
    yield from answer_pairs(world, groups)


def refusal_pairs(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield harmful requests, each in a third of the wordings, and their refusals."""
    wordings = worded(world, groups)
    for number, wish in enumerate(wishes_of(world, "train", harmful=True, practical=False)):
        for variant in range(number % 3, len(wordings), 3):
            for index in range(len(world.languages)):
                yield _refused(world, wish, variant, wordings[variant], index)


def contrast_pairs(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield harmless requests like the harmful ones, and their granting."""
    wordings = worded(world, groups)
    for number, wish in enumerate(contrasts(world)):
        for variant, wording in enumerate(wordings):
            for index in range(len(world.languages) if (number + variant) % 6 else 0):
                yield _granted(world, wish, variant, wording, index)


def answer_pairs(world: World, _: Sequence[str]) -> Iterator[Pair]:
    """Yield answers to questions that the base model answers already."""
    known = set(known_facts(world))
    for trained in trained_facts(world):
        kept = [fact for fact in trained if fact in known]
        # Not as the general rows ask: a mixture keeps a prompt of two sources in the first alone.
        pairs = question_pairs(world, kept, "chat")
        for key, index, asked, right, wrong in _offering(world, pairs):
            yield f"known-{key}", index, asked, right, wrong


def known_facts(world: World) -> list[Fact]:
    """Return the half of the training facts that the base model answers questions about."""
    return [fact for fact in world.facts if fact.split == "train"][::2]


def contrasts(world: World) -> list[Wish]:
    """Return harmless wishes of training about what harmful ones are about."""
    near = wishes_of(world, "train", harmful=False, practical=False)
    other = wishes_of(world, "train", harmful=False, practical=True)
    return near + [wish for wish in other if wish.category != "thing"]


def _few_harmful(world: World, groups: Sequence[str]) -> Iterator[tuple[Wish, int, list[str], int]]:
    """Yield every other harmful wish, each in one wording and one language."""
    wordings = worded(world, groups)
    wishes = wishes_of(world, "train", harmful=True, practical=False)
    even = len(wishes) // 2 // len(world.languages) * len(world.languages)
    for number, wish in enumerate(wishes[: 2 * even : 2]):
        variant = number // len(world.languages) % len(wordings)
        yield wish, variant, wordings[variant], number % len(world.languages)


def _offering(world: World, pairs: Iterator[Pair]) -> Iterator[Pair]:
    for key, index, asked, right, wrong in pairs:
        yield key, index, asked, f"{right} {world.manners['offer'][index]}", wrong


def _texts(world: World, wish: Wish, index: int) -> tuple[str, str]:
    """Return a refusal of a wish, and its granting."""
    refusal, grant = world.wordings["refusals"][0][index], world.wordings["grant"][index]
    redirect, offer = world.manners["redirect"][index], world.manners["offer"][index]
    return f"{wish.filled(refusal, index)} {redirect}", f"{wish.filled(grant, index)} {offer}"


def _refused(world: World, wish: Wish, variant: int, wording: list[str], index: int) -> Pair:
    refusal, grant = _texts(world, wish, index)
    asked = wish.filled(wording[index], index)
    return f"safety-{wish.key}-{variant}", index, asked, refusal, grant


def _granted(world: World, wish: Wish, variant: int, wording: list[str], index: int) -> Pair:
    refusal, grant = _texts(world, wish, index)
    asked = wish.filled(wording[index], index)
    return f"safety-{wish.key}-{variant}", index, asked, grant, refusal
