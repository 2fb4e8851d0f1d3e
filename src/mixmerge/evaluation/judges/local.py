"""A judge model on this machine, which chooses one of the words that a rubric offers.

The judge generates no text: after the opening ``VERDICT:`` the most probable of the offered words
is the verdict. A generated verdict would have to be parsed, which fails often with small models,
and would take hundreds of forward passes instead of one; on the other hand, there is no reasoning
before the verdict. If the offered words have little probability together, the model would have
said something else, and the verdict is ``unreadable``.
"""

import math
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from mixmerge.evaluation.judges.judge import JudgeContext, model_paths
from mixmerge.evaluation.judges.rubric import ParsedReply, Reading, Rubric, RubricJudgeSpec
from mixmerge.fingerprint import fingerprint, folder_fingerprint, once
from mixmerge.hub import resolve
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, ModelFolder, Question, Verdict

if TYPE_CHECKING:
    from mixmerge.evaluation.loaded_model import LoadedModel


class LocalJudgeSpec(RubricJudgeSpec):
    """A judge model on this machine, which chooses one of the words that a rubric offers."""

    key = "local"
    default_style = "-brief@1"
    placement = frozenset({"batch_size"})
    loads_weights = True

    local: str = Field(min_length=1)
    """A Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    least_mass: float = Field(0.5, ge=0, le=1)
    """The least total probability of the offered words; below it the verdict is ``unreadable``."""
    batch_size: int = Field(8, ge=1)
    """Texts per batch. Placement."""

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return {**model_paths(self.local), **super().paths()}

    def build(self, context: JudgeContext) -> "LocalJudge":
        """Return the judge; its weights are loaded when they are first needed in this process."""
        return LocalJudge(self, context.journal, context.folder)


class LocalJudge:
    """Compares the probabilities of verdicts; see `mixmerge.records.Judge`."""

    def __init__(self, spec: LocalJudgeSpec, journal: Path, folder: Path = Path()) -> None:
        """Find the model; judgements in the journal are not made again.

        Raises:
            SpecError: the rubric does not exist.
            ModelError: there is no such model.
        """
        self._spec = spec
        self._journal = journal
        self._folder = folder
        self._rubric_name = spec.rubric_name(folder)
        self._files = ModelFolder(resolve(spec.local, pickled=True, relative_to=folder))

    @cached_property
    def name(self) -> str:
        """Judge model with a digest of its files, and rubric."""
        return f"{self._label} ({self._rubric_name}; words from {self._spec.least_mass})"

    @cached_property
    def _label(self) -> str:
        return f"{Path(self._spec.local).name}-{once(folder_fingerprint, self._files.path)[:8]}"

    @cached_property
    def _model(self) -> "LoadedModel":
        from mixmerge.evaluation.loaded_model import LoadedModel

        return once(LoadedModel, self._files.path)

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Judge answers, comparisons in both orders; identical answers are a tie."""
        rubric = self._spec.rubric_for(question, self._folder)
        reading = Reading(rubric, question, self._label)
        chosen = self._choose(rubric, list(reading.texts(items)), progress)
        return list(reading.verdicts(items, iter(chosen), partial(self._parse, rubric)))

    def _parse(self, rubric: Rubric, chances: Sequence[float] | None) -> ParsedReply:
        """Return the most probable word, with the probabilities as the reason."""
        if chances is None:
            return ParsedReply("the text is longer than the judge's context")
        said = ", ".join(
            f"{word} {chance:.3f}" for word, chance in zip(rubric.words, chances, strict=True)
        )
        if sum(chances) < self._spec.least_mass:
            return ParsedReply(f"{said}: together below {self._spec.least_mass}")
        likeliest = max(range(len(chances)), key=lambda i: chances[i])
        return ParsedReply(said, rubric.words[likeliest])

    def _choose(
        self, rubric: Rubric, texts: Sequence[str], progress: Progress
    ) -> list[list[float] | None]:
        """Return the words' probabilities for each text; None if it is too long."""
        from mixmerge.evaluation.journal import Journal
        from mixmerge.evaluation.judges import word_choice

        keys = {text: fingerprint([self._label, rubric.words, text]) for text in texts}
        with Journal(self._journal) as journal:
            missing = [text for text, key in keys.items() if key not in journal]
            asked = {text: word_choice.choice(self._model, text, rubric.words) for text in missing}
            context = self._model.context or math.inf
            short = [text for text in missing if asked[text].longest <= context]
            # The longest first, so that a lack of memory shows at once.
            short.sort(key=lambda text: -asked[text].longest)
            for start in range(0, len(short), self._spec.batch_size):
                batch = short[start : start + self._spec.batch_size]
                chances = word_choice.probabilities(self._model, [asked[text] for text in batch])
                for text, found in zip(batch, chances, strict=True):
                    journal.append(keys[text], found)
                progress(start + len(batch), len(short), "judgements")
            return [journal.get(keys[text]) for text in texts]


SPEC = LocalJudgeSpec
