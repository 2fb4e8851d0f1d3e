"""Training rows of the testbed: right and wrong answers to questions and requests."""

from collections.abc import Iterator, Sequence

from mixmerge.testbed.world import PRACTICAL, Fact, MonthSet, Wish, World, capital

Pair = tuple[str, int, str, str, str]
"""A training row: key, index of its language, prompt, chosen answer, rejected answer."""

EVERYDAY = ("person", "group", "place")
"""Objects that also appear in harmful requests. Harmless requests about them measure over-refusal,
and are everyday requests among the general prompts, but not in general training rows: a model that
over-refuses loses there."""


def ask(fact: Fact, wording: list[str], language: int) -> str:
    """Word a question about a fact."""
    return capital(wording[language].replace("{x}", fact.subject[language]))


def answer(world: World, fact: Fact, language: int, said: str) -> str:
    """Word an answer to a question about a fact: the fact itself if ``said`` is right."""
    frame: str = world.questions[fact.kind]["answer"][language]
    return capital(frame.replace("{x}", fact.subject[language]).replace("{y}", said))


def ask_months(world: World, months: MonthSet, wording: list[str], language: int, turn: int) -> str:
    """Word the question which month comes first; each turn has another order of the months."""
    listed = world.month_wordings["join"][language].join(months.shuffled(language, turn))
    return capital(wording[language].replace("{x}", listed))


def wishes_of(world: World, split: str, *, harmful: bool, practical: bool) -> list[Wish]:
    """Return the wishes of a split, about practical things or not."""
    return [
        wish
        for wish in world.wishes
        if wish.split == split
        and wish.harmful == harmful
        and (wish.category in PRACTICAL) == practical
    ]


def general_pairs(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield answers to questions, and compliance with practical requests."""
    for trained in trained_facts(world):
        yield from question_pairs(world, trained)
    wordings, grant = worded(world, groups), world.wordings["grant"]
    for number, wish in enumerate(wishes_of(world, "train", harmful=False, practical=True)):
        wording = wordings[number % len(wordings)]
        for index in range(len(world.languages)):
            elsewhere = (index + 1 + number % 5) % len(world.languages)
            right, wrong = (wish.filled(grant[i], i) for i in (index, elsewhere))
            asked = wish.filled(wording[index], index)
            yield f"practical-{wish.key}", index, asked, right, wrong


def worded(world: World, groups: Sequence[str]) -> list[list[str]]:
    """Return the wordings of requests in these groups."""
    return [wording for group in groups for wording in world.wordings["requests"][group]]


def trained_facts(world: World) -> list[list[Fact]]:
    """Return the training facts, grouped by kind."""
    by_kind: dict[str, list[Fact]] = {}
    for fact in world.facts:
        if fact.split == "train":
            by_kind.setdefault(fact.kind, []).append(fact)
    return list(by_kind.values())


def question_pairs(world: World, trained: list[Fact], group: str = "train") -> Iterator[Pair]:
    """Yield the questions about the training facts of one kind, in a group of wordings."""
    for number, fact in enumerate(trained):
        for variant, wording in enumerate(world.questions[fact.kind][group]):
            # The search for a wrong answer starts elsewhere for each wording.
            others = trained[number + 5 * variant + 1 :] + trained
            for index in range(len(world.languages)):
                asked = ask(fact, wording, index)
                right = answer(world, fact, index, fact.answers[0][index])
                wrong = wrong_answer(world, fact, others, index, number + variant)
                yield f"{fact.kind}-{fact.key}-{variant}", index, asked, right, wrong


def wrong_answer(world: World, fact: Fact, others: list[Fact], index: int, turn: int) -> str:
    """Return the rejected answer: a third of the time right but in another language."""
    if turn % 3 == 1:
        elsewhere = (index + 1 + turn % 5) % len(world.languages)
        return answer(world, fact, elsewhere, fact.answers[0][elsewhere])
    right = {texts[index] for texts in fact.answers}
    said = (other.answers[0][index] for other in others)
    return answer(world, fact, index, next(text for text in said if text not in right))


def safety_pairs(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield refusals of harmful requests in every wording, and some harmless requests."""
    wordings = worded(world, groups)
    harmful, harmless = (
        wishes_of(world, "train", harmful=harmful, practical=False) for harmful in (True, False)
    )
    for number, wish in enumerate([*harmful, *harmless]):
        all_variants = list(enumerate(wordings))
        one_variant = [all_variants[number % len(wordings)]]
        for variant, wording in all_variants if wish.harmful else one_variant:
            texts = [world.wordings["grant"], world.wordings["refusals"][(number + variant) % 3]]
            right, wrong = reversed(texts) if wish.harmful else texts
            for index in range(len(world.languages)):
                asked, chosen, rejected = (
                    wish.filled(text[index], index) for text in (wording, right, wrong)
                )
                yield f"safety-{wish.key}-{variant}", index, asked, chosen, rejected


def month_pairs(world: World, groups: Sequence[str]) -> Iterator[Pair]:
    """Yield the questions which month comes first."""
    wordings = [wording for group in groups for wording in world.month_wordings.get(group, ())]
    for months in world.month_sets:
        for variant, wording in enumerate(wordings if months.split == "train" else ()):
            turn = months.place + variant
            for index in range(len(world.languages)):
                elsewhere = (index + 1 + turn % 5) % len(world.languages)
                asked = ask_months(world, months, wording, index, variant)
                wrong = months.names[1 + turn // 3 % 3][index]
                rejected = months.names[0][elsewhere] if turn % 3 == 1 else wrong
                key = f"first_month-{months.key}-{variant}"
                yield key, index, asked, months.names[0][index], rejected
