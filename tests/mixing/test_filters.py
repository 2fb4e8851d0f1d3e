"""Normalised text and duplicate prompts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.mixing.filters import deduplicate, normalise
from mixmerge.records import Conversation, Message


def row(
    prompt: str, source: str = "general", language: str = "en", answer: str = "a"
) -> Conversation:
    messages = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
    return Conversation(
        id=f"{source}-{language}-{prompt}-{answer}",
        source=source,
        language=language,
        messages=messages,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is  this?", "what is this"),
        ("«Straße»", "STRASSE"),
        ("ﬁne, ｆｉｎｅ", "fine fine"),
        ("Cafe\u0301!", "café"),
        ("¿Qué\nhora es?", "qué hora es"),
        ("ما هذا؟", "ما هذا"),
        ("यह क्या है?", "यह क्या है।"),
        ("co\u00adoperate", "cooperate"),
        ("He said: “yes” — twice...", "He said yes twice"),
        ("It's 'quoted'", "It’s quoted"),
        ("f ( x ) !", "f(x)!"),
        ("你好。", "你好"),
    ],
)
def test_writing_variants_are_one_text(one: str, other: str) -> None:
    """Case, punctuation, spaces, Unicode composition and width do not distinguish texts."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("की", "का"), ("resume", "résumé"), ("2 + 2", "2 2"), ("?", "!"), ("ab", "a b")],
        *[("2⁵", "25"), ("x²", "x2"), ("H₂O", "H O"), ("½", "1/2"), ("①", "1"), ("1½", "11/2")],
        *[("C#", "C"), ("C++", "C"), ("F#", "F"), (".NET", "NET"), ("@bob", "bob"), ("#1", "1")],
        *[("-5", "5"), ("−5", "5"), ("5 - 3", "5 3"), ("+5", "5"), ("5!", "5"), ("n!", "n")],
        *[("2*3", "2/3"), ("2*3", "2 3"), ("(2+3)*4", "2+3*4"), ("f'(x)", "f(x)")],
        *[("3.14", "314"), ("3.14", "3 14"), ("1,000", "1 000"), ("10:30", "10 30")],
        *[("a != b", "a = b"), ("x_1", "x 1"), ("A&B", "A B"), ("5'", "5"), ("50%", "50")],
        *[("[1]", "1"), ("a\\b", "a b")],
    ],
)
def test_different_texts_stay_different(one: str, other: str) -> None:
    """Accents, symbols, raised digits and marks that mean something distinguish texts."""
    assert normalise(one) != normalise(other)


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """Normalised text is its own normal form."""
    assert normalise(normalise(text)) == normalise(text)


def test_the_first_row_of_a_prompt_is_kept_across_sources() -> None:
    """Later rows of the same prompt go, counted as exact or normalised by source and language."""
    first = row("What is this?")
    result = deduplicate(
        [
            first,
            row("What is this?", answer="b"),
            row("what is THIS", "safety"),
            row("What is this?", "safety"),
            row("Another", "safety"),
        ]
    )
    assert result.rows == [first, row("Another", "safety")]
    assert result.exact == {("general", "en"): 1, ("safety", "en"): 1}
    assert result.normalised == {("safety", "en"): 1}


def test_one_text_in_two_languages_is_two_prompts() -> None:
    """A language-neutral prompt is kept once in each language."""
    rows = [row("2 + 2 = ?", language=language) for language in ("en", "hi", "en")]
    assert [kept.language for kept in deduplicate(rows).rows] == ["en", "hi"]
