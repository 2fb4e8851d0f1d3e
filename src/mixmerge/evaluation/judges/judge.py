"""What all judges share: a specification that can be checked, and verdicts as rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mixmerge.errors import DataError, SpecError
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Judge, Outcome, Prompt, Question, Verdict
from mixmerge.records.judge import Asks
from mixmerge.spec_model import SpecModel

Order = Literal["model-first", "base-first"]

FOLDER = "folder"
"""Stands for a local folder in an identity, which includes its content instead of its path."""


@dataclass(frozen=True)
class JudgeContext:
    """What a judge is built from besides its specification; nothing here changes a verdict."""

    journal: Path
    """File of finished verdicts of judge models; none of them is made again."""
    folder: Path = Path()
    """The base of relative paths."""
    model: str = ""
    """The model whose answers are judged; people's verdicts have a folder for each model."""
    rule_judges: Mapping[str, Judge] = field(default_factory=dict)
    """Judges by the name in ``{rules: NAME}``."""
    allow_execution: bool = False
    """Whether the study allows code in answers to run."""
    private: tuple[Path, ...] = ()
    """Folders that this code must not read, such as the run folder."""


class BaseJudgeSpec(SpecModel):
    """One kind of judge; `mixmerge.evaluation.judges` lists them."""

    key: ClassVar[str]
    """The key that only this kind has in a study file."""
    answers: ClassVar[frozenset[Asks]]
    """The kinds of questions that it can answer."""
    outcomes: ClassVar[frozenset[str] | None] = None
    """The outcomes that it recognizes; None: any that the study names."""
    of_people: ClassVar[bool] = False
    """Whether its verdicts come from people, who cannot be asked about other answers."""
    runs_code: ClassVar[bool] = False
    """Whether it runs code that models wrote."""
    loads_weights: ClassVar[bool] = False
    """Whether it loads a model on this machine."""
    placement: ClassVar[frozenset[str]] = frozenset()
    """The settings that do not change verdicts."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that change verdicts, with `FOLDER` for a local folder."""
        own = self.model_dump(mode="json", exclude=set(self.placement))
        return own | ({self.key: FOLDER} if FOLDER in self.paths() else {})

    def paths(self) -> dict[str, Path]:
        """Return the files whose content changes verdicts, by role."""
        return {}

    def check(self, question: Question) -> None:
        """Check that this judge can answer a question.

        Raises:
            ValueError: it cannot; the message says what it can answer.
        """
        if question.asks not in self.answers:
            raise ValueError(f"a judge `{self.key}` {_CANNOT[question.asks]}")
        told = {question.outcome} if self.outcomes is None else self.outcomes
        if question.asks == "outcome" and question.outcome not in told:
            known = ", ".join(f"`{outcome}`" for outcome in sorted(told))
            raise ValueError(
                f"a judge `{self.key}` recognizes {known}, not `{question.outcome}`: name one of "
                "these in the measure, as in `{rate: ...}`, or use another judge"
            )

    def require(self, question: Question) -> None:
        """Do what `check` does, with an error for the user.

        Raises:
            SpecError: the judge cannot answer the question.
        """
        try:
            self.check(question)
        except ValueError as error:
            raise SpecError(f"{question.axis}: {error}.") from None

    def build(self, context: JudgeContext) -> Judge:
        """Return the judge of one model's answers.

        Raises:
            UserError: there is no such judge, rubric, model or key.
        """
        raise NotImplementedError

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON Schema, in which the key that identifies the kind is required."""
        made = handler.resolve_ref_schema(handler(schema))
        made["required"] = sorted({cls.key, *made.get("required", ())})
        return made


_CANNOT: Mapping[Asks, str] = {
    "comparison": "reads single answers and cannot compare two, as the measure `win_rate` needs: "
    "use a judge model or people's verdicts, or a measure of single answers (`rate`, `mean`)",
    "outcome": "cannot say whether an answer has an outcome, as the measure `rate` needs",
    "grade": "gives no grades, as the measure `mean` needs: use `win_rate` or `rate`",
}


@dataclass(frozen=True)
class Decision:
    """A judge's decision on one answer, or on two in one order."""

    outcome: Outcome
    reason: str = ""
    score: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


def said(holds: bool, reason: str = "") -> Decision:
    """Return ``yes`` or ``no`` as a decision."""
    return Decision("yes" if holds else "no", reason)


Decide = Callable[[Item, Question], Decision]


@dataclass(frozen=True)
class ProgramJudge:
    """A judge that is a function of the answer alone; see `mixmerge.records.Judge`."""

    spec: BaseJudgeSpec
    decide: Decide
    folder: Path = Path()
    """Where relative paths in the specification start."""

    @cached_property
    def name(self) -> str:
        """Kind and version, with a digest of the settings if they are not the defaults."""
        name = f"{self.spec.key}@1"
        paths = self.spec.paths()
        files = {role: file_fingerprint(self.folder / path) for role, path in paths.items()}
        if not files and not self.spec.model_dump(exclude_defaults=True):
            return name
        return f"{name} #{fingerprint([self.spec.identity(), files])[:8]}"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Judge answers one by one.

        Raises:
            SpecError: the judge cannot answer such a question.
            DataError: a prompt lacks what the judge compares with.
        """
        self.spec.require(question)
        verdicts = []
        for count, item in enumerate(items, 1):
            verdicts.append(verdict(item.prompt, question, self.name, self.decide(item, question)))
            progress(count, len(items), "judgements")
        return verdicts


class ProgramJudgeSpec(BaseJudgeSpec):
    """A judge that decides on one answer at a time from its settings alone."""

    answers = frozenset({"outcome", "grade"})

    def build(self, context: JudgeContext) -> ProgramJudge:
        """Return the judge."""
        return ProgramJudge(self, self._decide, folder=context.folder)

    def _decide(self, item: Item, question: Question) -> Decision:
        raise NotImplementedError


def verdict(
    prompt: Prompt, question: Question, judge: str, decision: Decision, order: Order | None = None
) -> Verdict:
    """Return a judge's decision about the answers to a prompt as a row."""
    return Verdict(
        prompt=prompt.id,
        cluster=prompt.cluster,
        language=prompt.language,
        category=prompt.category,
        axis=question.axis,
        judge=judge,
        order=order,
        **vars(decision),
    )


def model_paths(name: str) -> dict[str, Path]:
    """Return the model's folder by its role; nothing for a name on the hub."""
    return {FOLDER: Path(name)} if Path(name).is_dir() else {}


def accepted(prompt: Prompt, judge: str) -> tuple[str, ...]:
    """Return the right answers of a prompt.

    Raises:
        DataError: it has none.
    """
    if not prompt.accepted:
        raise DataError(
            f"prompt {prompt.id}: the judge {judge} compares with accepted answers, and this "
            "prompt has none. Give `accepted` (`columns: {accepted: ...}`), or use a judge model."
        )
    return prompt.accepted
