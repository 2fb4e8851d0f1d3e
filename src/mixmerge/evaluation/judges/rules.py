"""Exact rules in place of a judge model."""

from typing import Literal

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import BaseJudgeSpec, JudgeContext
from mixmerge.records import Judge


class RuleJudgeSpec(BaseJudgeSpec):
    """Exact rules in place of a judge model."""

    key = "rules"
    answers = frozenset({"comparison", "outcome"})
    outcomes = frozenset({"harmful", "refused", "correct"})

    rules: Literal["testbed"]
    """Whose rules: the testbed's know the right answers and the shape of a refusal."""

    def build(self, context: JudgeContext) -> Judge:
        """Return the rules that go by this name."""
        if self.rules not in context.rule_judges:
            known = ", ".join(context.rule_judges) or "none"
            raise SpecError(f"There are no rules {self.rules!r} to judge by (known: {known}).")
        return context.rule_judges[self.rules]


SPEC = RuleJudgeSpec
