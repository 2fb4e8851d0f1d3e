"""From a judge's specification to the judge."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.evaluation.endpoint_spec import EndpointJudgeSpec
from mixmerge.evaluation.judge_spec import (
    ClassifierJudgeSpec,
    HumanJudgeSpec,
    LocalJudgeSpec,
    RuleJudgeSpec,
)
from mixmerge.evaluation.spec import JudgeSpec, PanelJudgeSpec, members
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Judge

JudgeOf = Callable[[str], Judge]
"""The judge of a model's answers, by the model's name."""


def make_judge(
    spec: JudgeSpec,
    journal: Path,
    *,
    folder: Path = Path(),
    rule_judges: Mapping[str, Judge] | None = None,
) -> JudgeOf:
    """Make the judge that a specification describes.

    Args:
        spec: any kind of judge.
        journal: file of finished judgements of models; none of them is made again.
        folder: what relative paths are relative to.
        rule_judges: judges by the name in ``{rules: NAME}``.

    Returns:
        The judge for each model: the same one, except that people's verdicts stand in a folder
        for each model.

    Raises:
        UserError: there is no such judge, rubric, model or key.
    """
    if isinstance(spec, HumanJudgeSpec):
        from mixmerge.evaluation.judges.human import HumanJudge

        return lambda model: HumanJudge(folder / spec.human / model)
    if isinstance(spec, PanelJudgeSpec):
        from mixmerge.evaluation.judges.panel import PanelJudge

        judges = [
            make_judge(member, journal, folder=folder, rule_judges=rule_judges)
            for member in spec.panel
        ]
        marks = [fingerprint(member.meaning())[:8] for member in spec.panel]
        return lambda model: PanelJudge([judge(model) for judge in judges], spec.keep, marks)
    judge = _one_for_all(spec, journal, folder, rule_judges or {})
    return lambda model: judge  # noqa: ARG005


def of_people(spec: JudgeSpec) -> bool:
    """Say whether people's verdicts decide, alone or on a panel."""
    return any(isinstance(member, HumanJudgeSpec) for member in members(spec))


def _one_for_all(
    spec: RuleJudgeSpec | LocalJudgeSpec | ClassifierJudgeSpec | EndpointJudgeSpec,
    journal: Path,
    folder: Path,
    rule_judges: Mapping[str, Judge],
) -> Judge:
    if isinstance(spec, RuleJudgeSpec):
        if spec.rules not in rule_judges:
            known = ", ".join(rule_judges) or "none"
            raise SpecError(f"There are no rules {spec.rules!r} to judge by (known: {known}).")
        return rule_judges[spec.rules]
    if isinstance(spec, LocalJudgeSpec):
        from mixmerge.evaluation.judges.local import LocalJudge

        return LocalJudge(spec, journal, folder)
    if isinstance(spec, ClassifierJudgeSpec):
        from mixmerge.evaluation.judges.classifier import ClassifierJudge

        return ClassifierJudge(spec, folder)
    from mixmerge.evaluation.judges.endpoint import EndpointJudge

    return EndpointJudge(spec, journal)
