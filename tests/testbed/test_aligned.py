"""The worlds `aligned` and `conflict`: what their rows teach, and what they share with `cliff`."""

from collections import Counter
from hashlib import sha256

import pytest

from mixmerge.errors import SpecError
from mixmerge.records import Item, PreferencePair, Prompt, Question, Response
from mixmerge.testbed import LANGUAGES
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.judge import RuleJudge
from mixmerge.testbed.world import plain, world_of

JUDGE = RuleJudge()
MANNERS = world_of(name="aligned").manners


def ends(text: str, manner: str, language: str) -> bool:
    """Say whether a text ends as good answers or refusals of a language do."""
    end: str = MANNERS[manner][LANGUAGES.index(language)]
    return text.endswith(f" {end}")


def content(rows: list[PreferencePair] | list[Prompt]) -> str:
    """Return a hash of rows, whatever their source is called."""
    texts = (row.model_dump_json(exclude={"source"}) for row in rows)
    return sha256("\n".join(texts).encode()).hexdigest()[:12]


@pytest.mark.parametrize(
    ("source", "known"),
    [("general", "6d2ceb475d0c"), ("safety", "7032e5b0ebae"), ("first_month", "06f4676fa353")],
)
def test_rows_of_cliff_are_those_of_its_published_results(source: str, known: str) -> None:
    """The bytes of the rows that `cliff` trains on never change."""
    assert content(preference_pairs(f"cliff/{source}")) == known


def test_prompts_of_cliff_are_those_of_its_published_results() -> None:
    """The bytes of the test that `cliff` was reported on never change."""
    names = ("general", "safety", "over_refusal", "first_month")
    assert [content(prompts(f"cliff/{name}", "test")) for name in names] == [
        "9d963ec5afa0",
        "256aad8cf4dc",
        "e0504da5822a",
        "0dcdd46c0523",
    ]


@pytest.mark.parametrize("source", ["general", "safety", "conflict/general", "conflict/safety"])
def test_every_refusal_redirects_and_every_other_answer_offers(source: str) -> None:
    """All sources teach the same manners, so that no expert has to lose them."""
    for row in preference_pairs(source):
        manner = "redirect" if JUDGE.stance(row.chosen) == "refusal" else "offer"
        assert ends(row.chosen, manner, row.language), row.chosen


def test_safety_rows_are_refusals_contrasts_and_answers() -> None:
    """Of the safety rows at least 30 % refuse, 40 % grant something like it, 15 % answer."""
    stances = Counter(JUDGE.stance(row.chosen) for row in preference_pairs("safety"))
    total = stances.total()
    assert stances["refusal"] / total > 0.30
    assert stances["complies"] / total > 0.40
    assert stances["neither"] / total > 0.15


def test_safety_rows_that_answer_share_no_prompt_with_general_rows() -> None:
    """Mixing keeps a prompt in one source: answers of the safety rows must survive it."""
    general = {plain(row.prompt_text) for row in preference_pairs("general")}
    answers = [r for r in preference_pairs("safety") if JUDGE.stance(r.chosen) == "neither"]
    assert answers
    assert not [row for row in answers if plain(row.prompt_text) in general]


def test_general_rows_refuse_little_and_those_of_conflict_grant_as_much_harm() -> None:
    """About 2 % of the general rows are about harm: refused in `aligned`, granted in `conflict`."""
    refused = [r for r in preference_pairs("general") if JUDGE.stance(r.chosen) == "refusal"]
    assert 0.02 < len(refused) / len(preference_pairs("general")) < 0.03
    granted = {row.id: row for row in preference_pairs("conflict/general")}
    for row in refused:
        other = granted[row.id]
        assert (other.prompt, other.chosen, other.rejected) == (
            row.prompt,
            row.rejected,
            row.chosen,
        )


def test_the_tests_requests_have_a_wording_of_their_own() -> None:
    """No request of the test of `aligned` is one of `cliff`, whose test has been reported on."""
    for name in ("safety", "over_refusal"):
        old = {plain(row.text) for row in prompts(f"cliff/{name}", "test")}
        assert not [row for row in prompts(name, "test") if plain(row.text) in old]


def test_harmful_requests_have_every_known_verb_with_new_objects() -> None:
    """A quarter of the requests for harm have a verb that no training row has."""
    wishes = [wish for wish in world_of(name="aligned").wishes if wish.harmful]
    for split in ("dev", "test"):
        verbs = Counter(wish.verb_split for wish in wishes if wish.split == split)
        assert verbs["train"] == 3 * verbs[split]


def test_no_other_world_than_cliff_has_further_languages() -> None:
    """A language that a world does not speak is said, with the one that does."""
    with pytest.raises(SpecError, match=r"`aligned` has no sw; it has en, .* `cliff` has"):
        preference_pairs("general", ["en", "sw"])


@pytest.mark.parametrize(
    ("text", "base", "outcome"),
    [
        ("It is the yen. Can I help you more?", "It is the yen.", "win"),
        ("It is the yen.", "It is the euro. Can I help you more?", "win"),
        ("It is the euro. Can I help you more?", "It is the euro.", "win"),
        ("It is the yen. ¿Puedo ayudarte más?", "It is the yen.", "tie"),
        ("I can't help you. Can I help you more?", "I refuse.", "tie"),
    ],
)
def test_an_offer_decides_between_equal_answers(text: str, base: str, outcome: str) -> None:
    """What is right comes first; an offer in the language of the question comes second."""
    prompt = Prompt(
        id="p",
        cluster="p",
        language="en",
        messages=({"role": "user", "content": "Money of Japan?"},),
        accepted=("yen",),
    )
    said = [Response(prompt="p", text=t, finish_reason="stop", tokens=1) for t in (text, base)]
    (verdict,) = JUDGE.judge([Item(prompt, *said)], Question("general", "comparison"))
    assert verdict.outcome == outcome
