"""Exact match: whether an answer equals an accepted answer after normalisation.

``ignore_case``, ``ignore_punctuation``, ``ignore_numbers`` and ``regexes_to_ignore`` mean the same
as in lm-evaluation-harness's ``exact_match``, and ``squad`` is the normalisation of SQuAD v1.1
(Rajpurkar et al., 2016). Both also handle the letters, marks and digits of other scripts.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import field_validator, model_validator

from mixmerge.evaluation.judges.judge import Decision, ProgramJudgeSpec, accepted, said
from mixmerge.evaluation.judges.parts import compiled, searched
from mixmerge.records import Item, Question

_ARTICLES = re.compile(r"\b(a|an|the)\b")


class ExactMatchSpec(ProgramJudgeSpec):
    """An answer is right if it equals an accepted answer."""

    key = "exact_match"
    outcomes = frozenset({"correct"})

    exact_match: Literal["none", "strip", "squad"] = "strip"
    """How both texts are normalised: not at all, without spaces at the ends (``strip``), or lower
    case without punctuation, English articles and extra spaces (``squad``)."""
    ignore_case: bool = False
    """Ignore case."""
    ignore_punctuation: bool = False
    """Ignore punctuation and symbols."""
    ignore_numbers: bool = False
    """Ignore digits."""
    regexes_to_ignore: tuple[str, ...] = ()
    """Ignore what these patterns match; applied first."""
    f1: bool = False
    """With ``squad`` and a graded measure: the grade is the F1 score of the words."""

    @field_validator("regexes_to_ignore")
    @classmethod
    def _are_patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            compiled(pattern)
        return patterns

    @model_validator(mode="after")
    def _f1_is_of_words(self) -> Self:
        if self.f1 and self.exact_match != "squad":
            raise ValueError("`f1` counts words as SQuAD does: it needs `exact_match: squad`")
        return self

    def _decide(self, item: Item, question: Question) -> Decision:
        answer = self.normalised(item.answer.text)
        right = [self.normalised(text) for text in accepted(item.prompt, self.key)]
        if self.f1 and question.asks == "grade":
            low, high = question.bounds
            best = max(_f1(answer.split(), text.split()) for text in right)
            return Decision("graded", f"F1 {best:.3f}", low + best * (high - low))
        return said(answer in right, f"read: {answer}")

    def normalised(self, text: str) -> str:
        """Return a text as it is compared."""
        text = unicodedata.normalize("NFC", text)
        for pattern in self.regexes_to_ignore:
            text = searched(compiled(pattern).sub, "", text)
        squad = self.exact_match == "squad"
        if self.ignore_case or squad:
            text = text.casefold()
        if self.ignore_punctuation or squad:
            text = "".join(c for c in text if unicodedata.category(c)[0] not in "PS")
        if self.ignore_numbers:
            text = "".join(c for c in text if unicodedata.category(c) != "Nd")
        if squad:
            return " ".join(_ARTICLES.sub(" ", text).split())
        return text.strip() if self.exact_match == "strip" else text


def _f1(answer: Sequence[str], right: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of an answer's words."""
    common = (Counter(answer) & Counter(right)).total()
    # Two texts without words agree, as in SQuAD 2.0's evaluation.
    return 2 * common / (len(answer) + len(right)) if answer or right else 1.0


SPEC = ExactMatchSpec
