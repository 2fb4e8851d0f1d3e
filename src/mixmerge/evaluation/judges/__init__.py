"""The judges, one file each. To add one, write its file and name it in `_FILES`.

A file defines ``SPEC``, a subclass of `BaseJudgeSpec`, and the judge that it builds, which has the
methods of `mixmerge.records.Judge`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mixmerge.evaluation.judges.judge import BaseJudgeSpec, JudgeContext
from mixmerge.evaluation.judges.panel import PanelJudgeSpec
from mixmerge.spec_model import one_of

__all__ = ["JUDGES", "JudgeContext", "JudgeSpec", "loads_weights", "members", "of_people"]

_FILES = (
    "rules",
    "exact_match",
    "regex",
    "numeric",
    "json_schema",
    "python_tests",
    "language",
    "endpoint",
    "local",
    "classifier",
    "human",
    "panel",
)

JUDGES: dict[str, type[BaseJudgeSpec]] = {
    spec.key: spec for spec in (import_module(f"{__name__}.{file}").SPEC for file in _FILES)
}
"""The specification of every kind of judge, by its key in a study file."""

if TYPE_CHECKING:
    JudgeSpec = BaseJudgeSpec
else:
    _MEMBERS = {key: spec for key, spec in JUDGES.items() if spec is not PanelJudgeSpec}
    PanelJudgeSpec.model_rebuild(_types_namespace={"Member": one_of(_MEMBERS, "judge")})
    JudgeSpec = one_of(JUDGES, "judge")
    """Any judge of a study file, e.g. ``{endpoint: URL, model: NAME}`` or ``exact_match``."""


def members(judge: JudgeSpec) -> tuple[BaseJudgeSpec, ...]:
    """Return the judges of a panel, or a single judge."""
    return judge.panel if isinstance(judge, PanelJudgeSpec) else (judge,)


def loads_weights(judge: JudgeSpec) -> bool:
    """Return whether a model on this machine is the judge, or on the panel."""
    return any(member.loads_weights for member in members(judge))


def of_people(judge: JudgeSpec) -> bool:
    """Return whether people are the judge, or on the panel."""
    return any(member.of_people for member in members(judge))
