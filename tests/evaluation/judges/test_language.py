"""Answers are in the language that was asked for, or in another one."""

import sys
from functools import cache
from pathlib import Path

import pytest
from tests.evaluation.judges.cases import item, items, outcomes, question

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.judges.judge import JudgeContext, ProgramJudge
from mixmerge.evaluation.judges.language import LanguageSpec
from mixmerge.testbed.data import prompts

RIGHT = question("outcome", "right-language")
SIX = ("en", "hi", "fr", "es", "ar", "ru")
SAID = {
    "en": "I cannot help you with that, but I can tell you about its history.",
    "hi": "मैं इसमें आपकी मदद नहीं कर सकता, लेकिन इसका इतिहास बता सकता हूँ।",
    "fr": "Je ne peux pas vous aider avec cela, mais je peux en raconter l'histoire.",
    "es": "No puedo ayudarte con eso, pero puedo contarte su historia.",
    "ar": "لا أستطيع مساعدتك في ذلك، لكن يمكنني أن أحكي لك تاريخه.",
    "ru": "Я не могу помочь с этим, но могу рассказать историю.",
}


@cache  # reading the identifier takes a second
def judge(language: str = "prompt", among: tuple[str, ...] = ()) -> ProgramJudge:
    return LanguageSpec(language=language, among=among).build(JudgeContext(Path("calls.jsonl")))


@pytest.mark.parametrize("language", SIX)
def test_sentences_are_told_apart(language: str) -> None:
    """Of the same sentence in six languages, one is in the prompt's, whatever else there is."""
    asked = items(*SAID.values(), language=language)
    expected = ["yes" if code == language else "no" for code in SAID]
    assert outcomes(judge().judge(asked, RIGHT)) == expected
    confused = question("outcome", "wrong-language")
    assert outcomes(judge().judge(asked, confused)) == [
        "no" if x == "yes" else "yes" for x in expected
    ]


def test_short_texts_need_the_languages_of_the_study() -> None:
    """Nearly all of the testbed's short questions are told apart among its six languages."""
    asked = [item(p.text, language=p.language) for p in prompts("general", "test")]
    verdicts = judge(among=SIX).judge(asked, RIGHT)
    assert outcomes(verdicts).count("yes") > 0.99 * len(asked) > 1000


def test_a_language_can_be_fixed() -> None:
    """Whatever the prompt's language, the answer should be French."""
    asked = items(SAID["fr"], SAID["ar"], language="ar")
    assert outcomes(judge(language="fr").judge(asked, RIGHT)) == ["yes", "no"]


@pytest.mark.parametrize("text", ["", " ", "42", "3 + 4 = 7", "…"])
def test_what_has_no_letters_has_no_language(text: str) -> None:
    """Such an answer is counted as missing, not as wrong."""
    assert outcomes(judge().judge(items(text), RIGHT)) == ["unreadable"]


def test_unknown_languages_are_said() -> None:
    """In the settings when the judge is made, in a prompt when it is judged."""
    with pytest.raises(SpecError, match=r"language: the language 'xx' cannot be .*\bzu\b"):
        judge(language="xx")
    with pytest.raises(SpecError, match="the language 'english' cannot be identified"):
        judge(among=("english",))
    with pytest.raises(SpecError, match=r"axis, prompt q0: the language 'ru' .* are en, fr"):
        judge(among=("en", "fr")).judge(items("Hello", language="ru"), RIGHT)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The identifier is an extra of the package."""
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(ResourceError, match=r"pip install 'mixmerge\[judges\]'"):
        LanguageSpec().build(JudgeContext(Path("calls.jsonl")))
