"""Whether an answer is in a language: the prompt's, or a given one.

Languages are identified by py3langid (Lui and Baldwin, 2012, retrained for 139 languages), which
needs no network. Among all of them, short texts are often misidentified; ``among`` limits the
choice to the languages that a study expects.
"""

import unicodedata
from collections.abc import Collection
from functools import partial
from typing import Any

from pydantic import Field

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.judges.judge import (
    Decision,
    JudgeContext,
    ProgramJudge,
    ProgramJudgeSpec,
    said,
)
from mixmerge.records import Item, Question

PROMPT = "prompt"


class LanguageSpec(ProgramJudgeSpec):
    """An answer is right if it is in the requested language."""

    key = "language"
    outcomes = frozenset({"right-language", "wrong-language"})

    language: str = Field(PROMPT, min_length=2)
    """``prompt``: the language of the prompt; or an ISO 639-1 code, e.g. ``fr``."""
    among: tuple[str, ...] = ()
    """The languages to choose from; by default all that py3langid knows."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that tells languages apart."""
        return ("py3langid",)

    def build(self, context: JudgeContext) -> ProgramJudge:  # noqa: ARG002
        """Load the identifier.

        Raises:
            ResourceError: the package ``py3langid`` is not installed.
            SpecError: it does not know a language.
        """
        named = {*self.among, *({self.language} - {PROMPT})}
        identify = identifier(named if self.among else (), known=named)
        return ProgramJudge(self, partial(self._identified, identify))

    def _identified(self, identify: "Identifier", item: Item, question: Question) -> Decision:
        wanted = item.prompt.language if self.language == PROMPT else self.language
        if wanted not in identify.languages:
            unknown = _unknown(wanted, identify.languages)
            raise SpecError(f"{question.axis}, prompt {item.prompt.id}: {unknown}")
        if not any(unicodedata.category(c)[0] == "L" for c in item.answer.text):
            return Decision("unreadable", "no letters to identify a language by")
        seen, chance = identify(item.answer.text)
        wrong = question.asks == "outcome" and question.outcome == "wrong-language"
        return said((seen == wanted) != wrong, f"read: {seen} {chance:.3f}, asked: {wanted}")


def _unknown(code: str, known: Any) -> str:
    return (
        f"the language {code!r} cannot be identified here; those that can are "
        f"{', '.join(sorted(known))}."
    )


class Identifier:
    """Says which language a text is in, with the probability."""

    def __init__(self, model: Any) -> None:
        """Wrap a loaded model of py3langid."""
        self._model = model
        self.languages = frozenset(model.labels)
        """Those to choose from."""

    def __call__(self, text: str) -> tuple[str, float]:
        """Return the language and its probability among `languages`."""
        seen, chance = self._model.classify(text)
        return seen, float(chance)


def identifier(among: Collection[str] = (), known: Collection[str] = ()) -> Identifier:
    """Load the identifier, limited to the languages ``among`` if there are any.

    Raises:
        ResourceError: the package ``py3langid`` is not installed.
        SpecError: it does not know one of ``among`` or ``known``.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise ResourceError(
            "Identifying languages needs the package py3langid: pip install 'mixmerge[judges]'."
        ) from None
    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if unknown := {*among, *known} - {*model.labels}:
        raise SpecError(f"language: {_unknown(min(unknown), model.labels)}")
    if among:
        model.set_languages(sorted(among))
    return Identifier(model)


SPEC = LanguageSpec
