"""What every reader of a log returns: the scores of one model on one task, in columns."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mixmerge.errors import DataError
from mixmerge.records.results import Better
from mixmerge.spec_model import shown
from mixmerge.yaml_file import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Field = Literal["item", "model", "score", "task", "cluster", "language", "epoch", "seed"]
_SHARED: tuple[Field, ...] = ("cluster", "language")


@dataclass(frozen=True)
class Asked:
    """What to read of a log."""

    tasks: tuple[str, ...] = ()
    """Only these; all if empty. A group of lm-eval's tasks, such as ``mmlu``, is read as one task.
    """
    metric: str | None = None
    """The metric of lm-eval (``acc``, or with its filter ``exact_match,strict``) or the scorer of
    inspect (``match``, or of a scorer with several values ``grade/fluency``); else the first."""
    fields: Mapping[Field, str] = field(default_factory=dict)
    """Names of columns of a table; ``cluster`` and ``language`` are also fields of lm-eval's
    documents and of inspect's metadata."""

    def wants(self, task: str) -> bool:
        """Whether a task is asked for."""
        return not self.tasks or task in self.tasks


class Text(NamedTuple):
    """What a person reads of one item."""

    prompt: str
    answer: str
    target: str = ""


@dataclass
class Scores:
    """The scores of one model on one task, one entry of each list per item and epoch."""

    model: str
    """Its name; of a local one, from a reader, the whole path."""
    task: str
    metric: str
    origin: Path
    """The file that they were read from."""
    format: str
    """Name of the reader."""
    items: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    """NaN without a score."""
    epochs: list[str] = field(default_factory=list)
    """Empty if every item was answered once."""
    seeds: list[str] = field(default_factory=list)
    """Training seed of each row's model; empty if unknown."""
    clusters: list[str] = field(default_factory=list)
    """Empty if unknown: then every item is its own."""
    languages: list[str] = field(default_factory=list)
    """Empty if unknown."""
    contents: list[str] = field(default_factory=list)
    """Digests of the item's question and target; empty if unknown."""
    prompts: list[str] = field(default_factory=list)
    """Digests of the whole prompt, with examples and chat template; empty if unknown."""
    bounds: tuple[float, float] | None = None
    """The lowest and the highest possible score; None if the log does not say."""
    better: Better | None = None
    """Which direction is good; None if the log does not say."""
    version: str = ""
    """Version of the task; empty if unknown."""
    settings: dict[str, str] = field(default_factory=dict)
    """How the task was run, such as ``n-shot``."""
    totals: tuple[float, int] | None = None
    """Of a leaderboard, which has no items: standard error of the one value, number of items."""
    made: str = ""
    """When, as sortable text; of two logs of a model and task the later one counts."""
    metrics: list[str] = field(default_factory=list)
    """All metrics of the log."""
    notes: list[str] = field(default_factory=list)
    """What is missing or was guessed, a sentence each."""

    def __post_init__(self) -> None:
        self._named = self.model

    def as_read(self) -> Scores:
        """Return a copy with the model's name in the log, by which its texts are found."""
        return replace(self, model=self._named)

    @property
    def array(self) -> NDArray[np.float64]:
        """The values as an array of shape (rows,)."""
        import numpy as np

        return np.array(self.values, dtype=np.float64)

    def add_shared(self, known: Mapping[Field, str]) -> None:
        """Append what one item shares with others, as far as it is known; see `shared`."""
        for each, column in zip(_SHARED, (self.clusters, self.languages), strict=True):
            if each in known:
                column.append(known[each])

    def check(self) -> Scores:
        """Return itself, if every row has a name of its own and some row has a score.

        Raises:
            DataError: no score, or an item twice without an epoch that tells them apart.
        """
        what = f"{self.origin}: {self.model} on {self.task}"
        if all(math.isnan(value) for value in self.values):
            raise DataError(f"{what}: no item has a score ({len(self.values)} items read).")
        none = [""] * len(self.items)
        keys = list(zip(self.items, self.seeds or none, self.epochs or none, strict=True))
        if len({*keys}) < len(keys):
            counts = Counter(keys)
            item, seed, epoch = next(key for key in keys if counts[key] > 1)
            named = (("seed", seed), ("epoch", epoch))
            rest = "".join(f" in {kind} {name}" for kind, name in named if name)
            raise DataError(
                f"{what}: the item {item!r} is there twice{rest}. Every item needs an id of its "
                "own; repeated answers need an epoch."
            )
        return self


@dataclass(frozen=True)
class Format:
    """A kind of log: how to recognise, find and read its files."""

    name: str
    patterns: tuple[str, ...]
    """Names of its files in a folder; without one, it is read only where a file is named."""
    recognises: Callable[[Path, str], bool]
    """Whether a file is of the format, from its path and its first characters."""
    read: Callable[[Path, Asked], list[Scores]]
    """Read a file. Raises `DataError`."""
    texts: Callable[[Scores, frozenset[str], Asked], dict[str, Text]]
    """Read the file again for the texts of some items, by item."""
    rank: int = 1
    """Of a folder, only files of the formats with the lowest rank are read: a run folder (0) may
    have harnesses' logs in it (1), and a folder of logs tables of their totals (2)."""


_WORDS = {
    **dict.fromkeys(("C", "true", "True", "TRUE", "yes", "Yes"), 1.0),
    **dict.fromkeys(("I", "N", "false", "False", "FALSE", "no", "No"), 0.0),
    "P": 0.5,
    **dict.fromkeys(("", "nan", "NaN", "NA", "null", "None"), math.nan),
}
"""Inspect's grades (correct, incorrect, no answer, partially correct), and how spreadsheets and
pandas write truth and gaps."""


def number(value: Any, where: object, name: str) -> float:
    """Return a score as a number, NaN for none; ``where`` and ``name`` are for the message.

    Raises:
        DataError: it is not a finite number, a truth value, or one of inspect's grades.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        if value in _WORDS:
            return _WORDS[value]
        try:
            value = float(value)
        except ValueError:
            value = math.inf if value.strip().lower().lstrip("+-") == "inf" else value
    if isinstance(value, int | float) and not math.isinf(value):
        return float(value)
    raise DataError(
        f"{where}, `{name}`: a score is a number, true or false, or inspect's C, P, I or N (seen: "
        f"{shown(value)}). Name another metric or column, or convert it."
    )


def shared(asked: Asked, given: Mapping[str, Any], absent: str) -> dict[Field, str]:
    """Return the ``cluster`` and ``language`` of an item, as far as they are asked for.

    Args:
        asked: has the names of the fields.
        given: the fields of the item.
        absent: the beginning of the message for one that it has not.

    Raises:
        DataError: the item has not all that are asked for.
    """
    found: dict[Field, str] = {}
    for each in _SHARED:
        name = asked.fields.get(each)
        if name is not None and name not in given:
            raise DataError(
                f"{absent} `{name}` (there are: {one_line(', '.join(given)) or 'none'})."
            )
        if name is not None:
            found[each] = str(given[name])
    return found


def digest(*texts: str) -> str:
    """Return a short hash of texts, for telling whether two logs have the same item."""
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def first_key(head: str) -> str:
    """Return the first key of the JSON object that a file begins with; empty if it is none."""
    found = re.match(r'\s*\{\s*"(\w+)"\s*:', head)
    return found[1] if found else ""


def plain(name: str, parts: int = 1) -> str:
    """Return a model's name, of a local folder only its last parts."""
    return "/".join(Path(name).parts[-parts:]) if name.startswith((".", "/", "~")) else name
