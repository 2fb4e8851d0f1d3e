"""Rows in the wrong language are found, and short or uncertain texts left alone."""

from functools import cache

import pytest
from tests.synthesis.filters.rows import reasons, row

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judges import language
from mixmerge.synthesis.filters import FilterContext
from mixmerge.synthesis.filters.language import LanguageSpec

SAID = {
    "en": "I cannot help you with that, but I can tell you about its history.",
    "hi": "मैं इसमें आपकी मदद नहीं कर सकता, लेकिन इसका इतिहास बता सकता हूँ।",
    "fr": "Je ne peux pas vous aider avec cela, mais je peux en raconter l'histoire.",
    "ar": "لا أستطيع مساعدتك في ذلك، لكن يمكنني أن أحكي لك تاريخه.",
    "zh": "我不能帮你做这件事，但我可以告诉你它的历史。",
    "ja": "それについてはお手伝いできませんが、その歴史をお話しすることはできます。",
    "th": "ฉันช่วยคุณเรื่องนั้นไม่ได้ แต่ฉันเล่าประวัติของมันให้คุณฟังได้",
}

IDENTIFIER = cache(language.identifier)


@pytest.fixture(autouse=True)
def _loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the identifier takes a second."""
    monkeypatch.setattr("mixmerge.synthesis.filters.language.identifier", IDENTIFIER)


def test_each_text_is_in_one_language() -> None:
    """Of all sentences in all languages, exactly those in another language are dropped."""
    rows = [row(text, language=code) for code in SAID for text in SAID.values()]
    found = reasons(LanguageSpec(), rows)
    expected = [code == other for code in SAID for other in SAID]
    assert [reason is None for reason in found] == expected
    assert found[1] is not None
    assert found[1].startswith("wrong language: prompt read as hi ")
    assert found[1].endswith(", not en")


def test_answers_are_read_too() -> None:
    """An English answer to a Hindi prompt is dropped, unless prompts alone are read."""
    rows = [
        row(SAID["hi"], SAID["en"], language="hi"),
        row(SAID["hi"], SAID["hi"], SAID["en"], language="hi"),
    ]
    found = reasons(LanguageSpec(), rows)
    assert [(reason or "").partition(" read")[0] for reason in found] == [
        "wrong language: answer",
        "wrong language: rejected answer",
    ]
    assert reasons(LanguageSpec(language="prompt"), rows) == [None, None]


@pytest.mark.parametrize(
    "text", ["", "Hi", "42 = 6 · 7", "😀" * 50, "<br/>" * 3, "x" * 29], ids=range(6)
)
def test_short_texts_are_not_judged(text: str) -> None:
    """Without enough letters a text has no language to speak of; it is counted."""
    judge = LanguageSpec(language="prompt").build(FilterContext(["hi"]))
    assert judge.reasons([row(text, language="hi")]) == [None]
    assert judge.unread == {"prompt too short to identify its language": 1}
    judge.reasons([])
    assert not judge.unread


def test_length_is_fair_to_scripts() -> None:
    """Ten Chinese letters say as much as thirty Latin ones."""
    chinese = row("如何制作巧克力蛋糕呢", language="en")
    latin = row("Comment fait-on un beau gâteau au chocolat", language="en")
    assert all(reasons(LanguageSpec(sure=0.3), [chinese, latin]))


def test_an_uncertain_reading_keeps_the_row() -> None:
    """A short English sentence is read as a relative of English with a low probability."""
    sentence = row("how do I bake this without any oven", language="en")
    assert reasons(LanguageSpec(shortest=1), [sentence, row("how do I bake")]) == [None, None]


def test_languages_that_are_not_known_are_errors() -> None:
    """A language that the identifier does not know cannot pass in silence."""
    with pytest.raises(DataError, match=r"the language 'tlh' cannot be identified .*\bzu\b"):
        reasons(LanguageSpec(), [row("qapla'", language="tlh")])
    with pytest.raises(SpecError, match="the language 'english' cannot be identified"):
        reasons(LanguageSpec(among=("english",)), [])
