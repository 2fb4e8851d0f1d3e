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
    """``testbed``: the testbed's rules, which know the right answers and recognize refusals."""

    def build(self, context: JudgeContext) -> Judge:
        """Return the rules with this name."""
        if self.rules not in context.rule_judges:
            known = ", ".join(context.rule_judges) or "none"
            raise SpecError(f"There are no rules {self.rules!r} (known: {known}).")
        return context.rule_judges[self.rules]


SPEC = RuleJudgeSpec
