"""Whether a pattern matches an answer, or whether its match is an accepted answer."""

import unicodedata
from typing import Self

from pydantic import Field, field_validator, model_validator

from mixmerge.evaluation.judges.judge import Decision, ProgramJudgeSpec, accepted, said
from mixmerge.evaluation.judges.parts import compiled, searched
from mixmerge.records import Item, Question


class RegexSpec(ProgramJudgeSpec):
    """A regular expression in place of a judge model, in the syntax of the package ``regex``."""

    key = "regex"

    regex: str = Field(min_length=1)
    """Searched anywhere in the answer. ``(?i)`` at its beginning ignores case."""
    extract: bool = False
    """Compare the match with the accepted answers, instead of only whether there is one."""
    group: int | str = 0
    """With ``extract``: the group that is the answer; 0 is the whole match."""
    last: bool = False
    """With ``extract``: use the last match instead of the first."""

    @field_validator("regex")
    @classmethod
    def _is_a_pattern(cls, pattern: str) -> str:
        compiled(pattern)
        return pattern

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        pattern = compiled(self.regex)
        known = [*range(pattern.groups + 1), *pattern.groupindex]
        if self.group not in known:
            raise ValueError(
                f"`regex` has no group {self.group!r}; it has {', '.join(map(str, known))}"
            )
        if not self.extract and (self.group != 0 or self.last):
            raise ValueError("`group` and `last` choose what to compare: they need `extract: true`")
        return self

    def check(self, question: Question) -> None:
        """Check the question: with ``extract`` the only outcome is ``correct``."""
        super().check(question)
        if self.extract and question.asks == "outcome" and question.outcome != "correct":
            raise ValueError(
                f"`regex` with `extract` recognizes `correct`, not `{question.outcome}`: remove "
                "`extract` if a match itself is the outcome"
            )

    def _decide(self, item: Item, question: Question) -> Decision:
        del question
        if not self.extract:
            match = searched(compiled(self.regex).search, item.answer.text)
            return said(match is not None, "" if match is None else f"found: {match.group(0)}")
        right = [_plain(text) for text in accepted(item.prompt, self.key)]
        matches = searched(
            lambda text, **limit: [
                match.group(self.group) for match in compiled(self.regex).finditer(text, **limit)
            ],
            item.answer.text,
        )
        found = [match for match in matches if match is not None]
        if not found:
            return said(False, "nothing found")
        taken = found[-1 if self.last else 0]
        return said(_plain(taken) in right, f"found: {taken}")


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


SPEC = RegexSpec
