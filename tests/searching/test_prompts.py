"""Tests of mixmerge.searching.prompts: which questions come first."""

from collections import Counter

from mixmerge.records import Message, Prompt
from mixmerge.searching.prompts import looks


def prompt(cluster: int, language: str, number: int = 0) -> Prompt:
    """A prompt of a source question in one language."""
    return Prompt(
        id=f"{cluster}-{language}-{number}",
        cluster=str(cluster),
        language=language,
        messages=(Message(role="user", content="?"),),
    )


TRANSLATED = [prompt(n, language) for n in range(40) for language in ("en", "hi")]
NATIVE = [prompt(n, "en" if n < 30 else "hi") for n in range(40)]


def test_clusters_stay_whole() -> None:
    """All languages of a source question are in one look, and every question is in one."""
    first, rest = looks({"a": TRANSLATED}, 0.5, 0, {"a": "a"})
    clusters = [{row.cluster for row in look["a"]} for look in (first, rest)]
    assert [len(each) for each in clusters] == [20, 20]
    assert not clusters[0] & clusters[1]
    assert len(first["a"]) + len(rest["a"]) == len(TRANSLATED)


def test_questions_of_one_language_keep_its_share() -> None:
    """A quarter of all prompts are native Hindi, and so is a quarter of the first look."""
    first, _ = looks({"a": NATIVE}, 0.4, 3, {"a": "a"})
    assert Counter(row.language for row in first["a"]) == {"en": 12, "hi": 4}


def test_axes_with_the_same_answers_get_the_same_questions() -> None:
    """An axis that judges the answers of another one screens on the same prompts."""
    first, _ = looks({"a": TRANSLATED, "b": TRANSLATED}, 0.5, 1, {"a": "a", "b": "a"})
    assert first["a"] == first["b"]
    apart, _ = looks({"a": TRANSLATED, "b": TRANSLATED}, 0.5, 1, {"a": "a", "b": "b"})
    assert apart["a"] != apart["b"]


def test_few_questions_are_asked_at_once() -> None:
    """The first look has at least ten questions, or all, and then there is no second one."""
    (first, rest), (only,) = (
        looks({"a": rows}, 0.1, 0, {"a": "a"}) for rows in (NATIVE, TRANSLATED[:20])
    )
    assert len({row.cluster for row in first["a"]}) == 10
    assert len(rest["a"]) == 30
    assert only["a"] == TRANSLATED[:20]
