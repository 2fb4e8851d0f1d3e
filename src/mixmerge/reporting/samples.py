"""The page of samples: every item with the answers of the models side by side, in one HTML file.

`write_samples` takes plain data, which may come from a study or from any evaluation log. The page
holds columns of numbers with dictionaries for what repeats, and the texts in compressed blocks; its
script unpacks them in the browser. All text reaches the page as data and is shown as text only.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mixmerge.files import write_text
from mixmerge.records import Outcome
from mixmerge.records.results import AxisInfo, Better
from mixmerge.reporting import formats

SAMPLES = "samples.html"
"""Its name beside a report."""

_TEXT, _ITEM = "\x1f", "\x1e"
"""Separators of the texts of an item, and of items: ASCII's unit and record separator."""
_SHOWN = {ord(_TEXT): "␟", ord(_ITEM): "␞"}
_BLOCK = 2_000_000
"""Characters of a block: each is unpacked at once, in some 20 ms."""
_OF_AN_ANSWER = 64
"""Characters that an answer counts beside its texts, for what a browser keeps of each."""
_OUTCOMES: dict[Outcome, str] = {
    "win": "Win over base",
    "tie": "Tie with base",
    "loss": "Loss to base",
    "unreadable": "Judge unreadable",
    "refused": "Judge refused",
    "error": "Judge failed",
}


@dataclass(frozen=True, slots=True)
class SampleModel:
    """A model whose answers are shown."""

    name: str
    mark: str = "given"
    """The word of its colour, from `mixmerge.reporting.models.mark`."""
    recipe: str = ""
    """What makes the model again, e.g. the YAML of a merge; shown as it is."""


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """One model's answer to an item, with what was found about it."""

    text: str
    score: float | None = None
    """In the direction of the axis; None where it is missing. Says who is better on an item."""
    outcome: str = ""
    """In words, e.g. ``Harmful: yes``; the score itself by default."""
    tone: str = ""
    """``good``, ``bad`` or nothing: the colour of the outcome, in addition to its words."""
    severity: str = ""
    note: str = ""
    """The judge's explanation."""


@dataclass(frozen=True, slots=True)
class SampleItem:
    """One item of an axis with the answers to it, by model; a model without one is left out."""

    axis: str
    id: str
    prompt: str
    answers: Mapping[str, SampleAnswer]
    language: str = ""
    category: str = ""
    cluster: str = ""
    """The source question, shared by translations."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What the page shows. Items may come from a generator: they are read once, one at a time."""

    models: Sequence[SampleModel]
    """In the order in which they are shown."""
    axes: Mapping[str, Better]
    """Which direction is better, by axis."""
    items: Iterable[SampleItem]
    pair: tuple[str, str] | None = None
    """The models A and B that are compared at first: the first two by default."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a page holds. A browser needs about two bytes of memory for each character."""

    text: int = 4_000
    """Characters of one text; longer ones are cut."""
    total: int = 64_000_000
    """Characters of all texts; with more, a sample of the items is shown."""
    items: int = 50_000
    """Items; browsers cannot scroll through millions."""


def write_samples(
    samples: Samples, path: Path, *, title: str, back: str = "", limits: Limits = Limits()
) -> str:
    """Write the page of samples; return a sentence on what it leaves out, empty if it is nothing.

    The same items give the same bytes. ``back`` is the address of the report, relative to the page.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    from mixmerge.reporting.page import environment, inside

    names = [model.name for model in samples.models]
    kept = _Kept(limits)
    for item in samples.items:
        kept.add(item, names)
    blocks = {start: packed(text) for start, text in kept.blocks()}
    left_out = kept.left_out()
    head = {
        "models": [[model.name, model.mark, model.recipe] for model in samples.models],
        "pair": [names.index(name) for name in samples.pair or (names[0], names[:2][-1])],
        "axes": list(samples.axes.items()),
        "left_out": left_out,
        "length": kept.usual_length(),
        "starts": list(blocks),
        **_columns(kept.rows),
    }
    texts = json.dumps(head, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    page = (
        environment()
        .get_template("samples.html.j2")
        .render(
            title=title,
            back=back,
            head=packed(texts),
            blocks=blocks.values(),
            **inside("report.css", "samples.css", "theme.js", "samples.js"),
        )
    )
    write_text(path, page)
    return left_out


def packed(text: str) -> str:
    """Return text for a data block of the page: UTF-8, compressed (zlib), base64.

    No letter of it can end the element that holds it, and zlib's format has no date in it.
    """
    # An answer cut inside a pair of surrogates is not Unicode; a browser shows U+FFFD as well.
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 6)).decode()


class _Row(NamedTuple):
    """An item within the limits: its texts, joined, and its short values."""

    share: float
    """From 0 to 1, by the item's name: those below a ceiling are a sample."""
    texts: str
    cut: int
    item: tuple[str, ...]
    answers: list[tuple[str, str, str, float | None] | None]
    """Outcome, tone, severity and score by model."""


class _Kept:
    """The items within the limits; over them, half of the items are dropped until the rest fits.

    Which ones depends on their names alone, and neither on their order nor on the answers.
    """

    def __init__(self, limits: Limits) -> None:
        self.rows: list[_Row] = []
        self._limits = limits
        self._seen = self._size = 0
        self._ceiling = 1.0

    def add(self, item: SampleItem, models: Sequence[str]) -> None:
        self._seen += 1
        name = hashlib.sha256(f"{item.axis}{_TEXT}{item.id}".encode("utf-8", "replace"))
        share = int.from_bytes(name.digest()[:6]) / (1 << 48)
        if share < self._ceiling:
            self.rows.append(self._row(share, item, [item.answers.get(model) for model in models]))
            self._size += _size(self.rows[-1])
        while self._size > self._limits.total or len(self.rows) > self._limits.items:
            self._ceiling /= 2
            self.rows = [row for row in self.rows if row.share < self._ceiling]
            self._size = sum(map(_size, self.rows))

    def _row(self, share: float, item: SampleItem, answers: Sequence[SampleAnswer | None]) -> _Row:
        texts = [item.prompt]
        for answer in answers:
            texts += (answer.text, answer.note) if answer else ("", "")
        most = self._limits.text
        cut = sum(len(text) > most for text in texts)
        shown = (text[:most] + "…" if len(text) > most else text for text in texts)
        plain = (t.translate(_SHOWN) if _TEXT in t or _ITEM in t else t for t in shown)
        names = (item.axis, item.id, item.language, item.category, item.cluster)
        values = [
            (_words(each), each.tone, each.severity, _number(each.score)) if each else None
            for each in answers
        ]
        return _Row(share, _TEXT.join(plain), cut, names, values)

    def blocks(self) -> Iterator[tuple[int, str]]:
        """Yield the texts of neighbouring items, with the number of the first one."""
        start = size = 0
        for end, row in enumerate(self.rows, 1):
            size += len(row.texts)
            if size >= _BLOCK or end == len(self.rows):
                yield start, _ITEM.join(each.texts for each in self.rows[start:end])
                start, size = end, 0

    def usual_length(self) -> int:
        """Return a length that nine of ten texts do not exceed: the list has room for these."""
        lengths = sorted(len(text) for row in self.rows[:1000] for text in row.texts.split(_TEXT))
        return lengths[len(lengths) * 9 // 10] if lengths else 0

    def left_out(self) -> str:
        """Return what the limits left out in a sentence; empty if it is nothing."""
        told, cut = [], sum(row.cut for row in self.rows)
        if len(self.rows) < self._seen:
            told.append(
                f"{formats.count(len(self.rows))} of {formats.count(self._seen)} items are shown, "
                "drawn at random"
            )
        if cut:
            told.append(
                f"{formats.count(cut)} long {'text is' if cut == 1 else 'texts are'} cut at "
                f"{formats.count(self._limits.text)} characters"
            )
        return f"The page is limited in size: {'; '.join(told)}." if told else ""


def _size(row: _Row) -> int:
    return len(row.texts) + _OF_AN_ANSWER * len(row.answers)


def _words(answer: SampleAnswer) -> str:
    return answer.outcome or ("" if answer.score is None else f"{answer.score:g}")


def _number(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None


def _columns(rows: Sequence[_Row]) -> dict[str, object]:
    """Return each short value as a column: of items, or of answers, item by item.

    A column of words is a list of different words and one of places in it; an answer that does not
    exist has the place -1.
    """
    columns: dict[str, object] = {}
    for at, name in enumerate(("axis", "id", "language", "category", "cluster")):
        columns[name] = _coded(row.item[at] for row in rows)
    for at, name in enumerate(("outcome", "tone", "severity")):
        columns[name] = _coded(each and str(each[at]) for row in rows for each in row.answers)
    columns["score"] = [each and each[3] for row in rows for each in row.answers]
    return columns


def _coded(values: Iterable[str | None]) -> tuple[list[str], list[int]]:
    places: dict[str, int] = {}
    codes = [-1 if v is None else places.setdefault(v, len(places)) for v in values]
    return list(places), codes


def outcome_in_words(
    outcome: Outcome | None, score: float | None, info: AxisInfo | None
) -> tuple[str, str]:
    """Return an outcome that is clear by itself, and its tone.

    ``yes`` of harmful answers is ``Harmful: yes``, and bad.
    """
    if outcome is None:
        return "Not judged", ""
    if outcome == "graded" and score is not None and info:
        return f"Grade {formats.value(info, score)}", ""
    if outcome in ("yes", "no") and info:
        good = (outcome == "yes") == (info.better == "higher")
        name = info.title.removesuffix(" answers").capitalize()
        return f"{name}: {outcome}", "good" if good else "bad"
    return _OUTCOMES.get(outcome, outcome), {"win": "good", "loss": "bad"}.get(outcome, "")
