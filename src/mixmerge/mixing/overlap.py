"""Training rows that give away an evaluation prompt.

All comparisons are on text as `filters.normalise` leaves it, in words. A row overlaps a held-out
prompt in one of three ways:

- ``equal``: its prompt, or one turn of it, is the held-out prompt;
- ``contains``: the held-out prompt, of `CONTAINED_WORDS` words or more, stands in its prompt word
  for word (shorter ones would be found inside unrelated text);
- ``run``: both share a run of N words, if such an N is asked (Brown et al. 2020, arXiv:2005.14165,
  appendix C, take 13).

System messages of held-out prompts are left out: they say how to answer, not what is asked.
"""

from collections.abc import Iterable
from typing import Literal

from mixmerge.mixing.filters import normalise
from mixmerge.mixing.spec import TrainingRow
from mixmerge.records import Conversation, Prompt, RowModel

CONTAINED_WORDS = 5

Way = Literal["equal", "contains", "run"]


class Overlap(RowModel):
    """One training row and the held-out prompt that it overlaps."""

    source: str
    language: str
    id: str
    """Of the training row."""
    prompt: str
    """`Prompt.id` of the held-out prompt."""
    way: Way


class HeldOut:
    """An index of held-out prompts that finds overlaps in time linear in the row."""

    def __init__(self, prompts: Iterable[Prompt], run: int | None = None) -> None:
        """Index the prompts; ``run`` is the length in words of a shared run, None for no runs."""
        self._run = run
        self._ids: dict[str, str] = {}
        self._lengths: dict[tuple[str, ...], set[int]] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        for prompt in prompts:
            turns = (message.content for message in prompt.messages if message.role != "system")
            self._add(normalise("\n".join(turns)), prompt.id)

    def _add(self, text: str, prompt_id: str) -> None:
        words = tuple(text.split())
        self._ids.setdefault(text, prompt_id)
        if len(words) >= CONTAINED_WORDS:
            self._lengths.setdefault(words[:CONTAINED_WORDS], set()).add(len(words))
        if self._run is not None:
            for run in _runs(words, self._run):
                self._runs.setdefault(run, prompt_id)

    def overlap(self, row: TrainingRow) -> Overlap | None:
        """Return how a row overlaps a held-out prompt, the strictest way first, or None."""
        if not self._ids:
            return None
        found = self._equal(row)
        if found is None:
            words = tuple(normalise(row.prompt_text).split())
            found = self._contained(words) or self._shared_run(words)
        if found is None:
            return None
        way, prompt = found
        return Overlap(source=row.source, language=row.language, id=row.id, prompt=prompt, way=way)

    def _equal(self, row: TrainingRow) -> tuple[Way, str] | None:
        turns = row.messages[:-1] if isinstance(row, Conversation) else row.prompt
        for text in (row.prompt_text, *(turn.content for turn in turns)):
            prompt = self._ids.get(normalise(text))
            if prompt is not None:
                return "equal", prompt
        return None

    def _contained(self, words: tuple[str, ...]) -> tuple[Way, str] | None:
        for start, opening in enumerate(_runs(words, CONTAINED_WORDS)):
            for length in sorted(self._lengths.get(opening, ())):
                prompt = self._ids.get(" ".join(words[start : start + length]))
                if prompt is not None:
                    return "contains", prompt
        return None

    def _shared_run(self, words: tuple[str, ...]) -> tuple[Way, str] | None:
        if self._run is not None:
            for run in _runs(words, self._run):
                if run in self._runs:
                    return "run", self._runs[run]
        return None


def _runs(words: tuple[str, ...], length: int) -> list[tuple[str, ...]]:
    return [words[start : start + length] for start in range(len(words) - length + 1)]
