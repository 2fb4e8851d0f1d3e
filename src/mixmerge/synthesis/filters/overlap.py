"""Rows whose prompt overlaps a prompt of an evaluation.

Overlap is what mixing calls so (`mixmerge.mixing.filters`): equal prompts, a prompt within another,
and, if asked, a shared run of words. Also, because a generated prompt may be a reworded one: most
shingles of the evaluation's prompt are in the row's. These are counted exactly, for evaluation sets
are small.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.evaluation.prompts import load_prompts
from mixmerge.mixing.filters import HeldOut
from mixmerge.records import Prompt, TrainingPrompt
from mixmerge.synthesis.filters.filter import FilterContext
from mixmerge.synthesis.filters.shingles import ShingledSpec, Shingles
from mixmerge.synthesis.row import Row

_LEAST_SHINGLES = 3
"""A prompt with fewer has hardly more than what unrelated texts share by chance."""


class EvaluationSet(PromptSetSpec):
    """Prompts of an evaluation: a published set, the testbed's, or any rows."""

    languages: list[str] | None = None
    """Its languages, if they are not those of the generated rows: ``[en]``."""

    @property
    def title(self) -> str:
        """Its name in messages."""
        files = ", ".join(path.name for _, path in self.paths())
        return self.set or self.hub or (f"testbed {self.testbed}" if self.testbed else files)

    def prompts(self, languages: Sequence[str]) -> list[Prompt]:
        """Read the prompts.

        Raises:
            DataError: see `load_prompts`.
        """
        wanted = self.languages or languages
        if self.testbed is not None:
            from mixmerge.testbed.data import prompts

            return prompts(self.testbed, "dev" if self.split == "dev" else "test", wanted)
        return load_prompts(self, wanted)


def _file(value: Any) -> Any:
    return {"files": value} if isinstance(value, (str, Path)) else value


class OverlapSpec(ShingledSpec):
    """No row may overlap a prompt of these evaluations, in any language."""

    key = "overlap"
    reads_seeds = True

    overlap: list[Annotated[EvaluationSet, BeforeValidator(_file)]] = Field(min_length=1)
    """Prompt sets as in an axis, e.g. ``{set: aya_redteaming}``, or files."""
    near: float | None = Field(0.7, gt=0, le=1)
    """The share of an evaluation prompt's shingles in a row's from which on they overlap; null: do
    not compare shingles. Prompts with fewer than 3 shingles are compared whole only."""
    run: int | None = Field(None, ge=5)
    """Also drop rows that share a run of so many words (13 in Brown et al. 2020)."""

    def paths(self) -> dict[str, Path]:
        """Return the files of the evaluations."""
        return {
            f"{number}:{place}": path
            for number, each in enumerate(self.overlap)
            for place, (_, path) in enumerate(each.paths())
        }

    def build(self, context: FilterContext) -> "OverlapFilter":
        """Read the evaluation prompts.

        Raises:
            DataError: a set cannot be read, or has no prompt in a language.
        """
        prompts = [
            prompt.model_copy(update={"id": f"{each.title}, prompt {prompt.id}"})
            for each in self.overlap
            for prompt in each.prompts(context.languages)
        ]
        return OverlapFilter(self, prompts)


class OverlapFilter:
    """Drops rows that overlap evaluation prompts; see `RowFilter`."""

    def __init__(self, spec: OverlapSpec, prompts: Iterable[Prompt]) -> None:
        """Index the prompts, whose ids name them in reasons."""
        self._spec = spec
        self.unread: Counter[str] = Counter()
        listed = list(prompts)
        self._held_out = HeldOut(listed, spec.run)
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._places: dict[int, list[int]] = {}
        for prompt in listed if spec.near is not None else ():
            turns = (turn.content for turn in prompt.messages if turn.role != "system")
            self._add(spec.shingles("\n".join(turns)), prompt.id)

    def _add(self, shingles: Shingles, name: str) -> None:
        if len(shingles) >= _LEAST_SHINGLES:
            for each in shingles:
                self._places.setdefault(each, []).append(len(self._names))
            self._names.append(name)
            self._sizes.append(len(shingles))

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return ``overlaps an evaluation prompt`` with its set and id, and in which way."""
        return [self._reason(row) for row in rows]

    def _reason(self, row: Row) -> str | None:
        asked = TrainingPrompt(
            id=row.id, source=row.provenance.source, language=row.language, prompt=row.asked
        )
        found = self._held_out.overlap(asked)
        if found is not None:
            return f"overlaps an evaluation prompt ({found.way}): {found.prompt}"
        near = self._near(row.prompt_text)
        if near is None:
            return None
        share, name = near
        return f"overlaps an evaluation prompt (near): {share:.2f} of the shingles of {name}"

    def _near(self, text: str) -> tuple[float, str] | None:
        """Return the prompt with the largest share of its shingles in a text, if large enough."""
        if not self._places or self._spec.near is None:
            return None
        shared = Counter(
            place for each in self._spec.shingles(text) for place in self._places.get(each, ())
        )
        shares = ((count / self._sizes[place], -place) for place, count in shared.items())
        share, place = max(shares, default=(0.0, 0))
        return (share, self._names[-place]) if share >= self._spec.near else None


SPEC = OverlapSpec
