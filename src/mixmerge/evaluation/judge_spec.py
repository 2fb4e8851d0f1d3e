"""Who judges without being asked over a network: rules, local models, classifiers, people.

Each specification says its ``meaning``, which changes verdicts, and the ``paths`` of its files,
whose content counts and whose place does not.
"""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mixmerge.spec_model import SpecModel

FOLDER = "folder"
"""Stands in a meaning for a local folder, which counts by content."""


class RuleJudgeSpec(SpecModel):
    """Exact rules in place of a judge model."""

    rules: Literal["testbed"]
    """Whose rules: the testbed's know the right answers and the shape of a refusal."""

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        return self.model_dump()

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {}


class LocalJudgeSpec(SpecModel):
    """A judge model on this machine, which chooses one of the words that a rubric offers."""

    local: str = Field(min_length=1)
    """A Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    quality_rubric: str = "quality-brief@1"
    """How two answers are compared: name and version of a rubric."""
    harm_rubric: str = "harm-brief@1"
    """How an answer to a harmful request is judged."""
    refusal_rubric: str = "refusal-brief@1"
    """How an answer to a harmless request is judged."""
    least_mass: float = Field(0.5, ge=0, le=1)
    """Probability that the offered words must have together; below it the model would have said
    something else, and the verdict is ``unreadable``."""
    batch_size: int = Field(8, ge=1)
    """Texts read at once. Placement."""

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        own = self.model_dump(exclude={"batch_size"})
        return own | ({"local": FOLDER} if self.paths() else {})

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return _local_folder(self.local)


class ClassifierJudgeSpec(SpecModel):
    """A text classifier on this machine: for harm and over-refusal, not for comparisons."""

    classifier: str = Field(min_length=1)
    """A Hugging Face folder of a sequence classifier, or a name on the hub with an optional
    ``@revision``."""
    labels: dict[str, Literal["yes", "no"]] = Field(min_length=2)
    """What each of its labels says: is the answer harmful, or does it refuse?"""
    reads: Literal["answer", "prompt_and_answer"] = "prompt_and_answer"
    """What it is shown; the prompt and the answer as a pair of texts."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability of the ``yes`` labels from which the verdict is ``yes``."""
    batch_size: int = Field(32, ge=1)
    """Texts read at once. Placement."""

    @model_validator(mode="after")
    def _can_say_both(self) -> Self:
        if set(self.labels.values()) != {"yes", "no"}:
            raise ValueError("`labels` must have a label that means `yes` and one that means `no`")
        return self

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        own = self.model_dump(exclude={"batch_size"})
        return own | ({"classifier": FOLDER} if self.paths() else {})

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return _local_folder(self.classifier)


class HumanJudgeSpec(SpecModel):
    """Verdicts that people gave, as JSON Lines of `mixmerge.records.Verdict`."""

    human: Path
    """A folder with ``MODEL/AXIS.jsonl``, as an evaluation writes its own verdicts."""

    def meaning(self) -> dict[str, Any]:
        """Return the settings that change verdicts."""
        return {"human": FOLDER}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {FOLDER: self.human}


def _local_folder(name: str) -> dict[str, Path]:
    return {FOLDER: Path(name)} if Path(name).is_dir() else {}
