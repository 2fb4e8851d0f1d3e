"""The judges, a file each. To add one, write its file and name it in `_FILES`.

A file holds the specification of a kind of judge, a subclass of `BaseJudgeSpec` which it calls
``SPEC``, and what is made from it: an object with the methods of `mixmerge.records.Judge`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticUndefined

from mixmerge.evaluation.judges.judge import BaseJudgeSpec, JudgeContext, JudgeOf
from mixmerge.evaluation.judges.panel import PanelJudgeSpec

__all__ = ["KINDS", "JudgeContext", "JudgeOf", "JudgeSpec", "members", "of_people"]

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

KINDS: tuple[type[BaseJudgeSpec], ...] = tuple(
    import_module(f"{__name__}.{file}").SPEC for file in _FILES
)
"""The specification of every kind of judge."""


def _one_of(kinds: tuple[type[BaseJudgeSpec], ...]) -> Any:
    """Return the type of a judge that is one of some kinds, told apart by their keys."""
    usual = {kind.key: kind.model_fields[kind.key].default for kind in kinds}
    words = {key: value for key, value in usual.items() if value is not PydanticUndefined}

    def spelled_out(value: Any) -> Any:
        return {value: words[value]} if isinstance(value, str) and value in words else value

    def tag(value: Any) -> str | None:
        keys = value if isinstance(value, dict) else {getattr(value, "key", "")}
        return next((f"{kind.key} judge" for kind in kinds if kind.key in keys), None)

    keys = ", ".join(f"`{kind.key}`" for kind in kinds)
    alone = ", ".join(f"`{word}`" for word in words)
    kind = Discriminator(
        tag,
        custom_error_type="judge",
        custom_error_message=f"a judge has one of the keys {keys}, or is one word: {alone}",
    )
    union: Any = Union[tuple(Annotated[k, Tag(f"{k.key} judge")] for k in kinds)]  # noqa: UP007
    written = Annotated[union, kind]
    return Annotated[
        union, kind, BeforeValidator(spelled_out, json_schema_input_type=written | Literal[*words])
    ]


if TYPE_CHECKING:
    JudgeSpec = BaseJudgeSpec
else:
    PanelJudgeSpec.model_rebuild(
        _types_namespace={"Member": _one_of(tuple(k for k in KINDS if k is not PanelJudgeSpec))}
    )
    JudgeSpec = _one_of(KINDS)
    """Any judge of a study file, e.g. ``{endpoint: URL, model: NAME}`` or ``exact_match``."""


def members(judge: JudgeSpec) -> tuple[BaseJudgeSpec, ...]:
    """Return the judges of a panel; a judge alone is its own."""
    return judge.panel if isinstance(judge, PanelJudgeSpec) else (judge,)


def of_people(judge: JudgeSpec) -> bool:
    """Say whether people's verdicts decide, alone or on a panel."""
    return any(member.of_people for member in members(judge))
