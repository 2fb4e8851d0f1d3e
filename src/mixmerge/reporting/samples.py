"""The page of samples: every item with the answers of the models side by side, in one HTML file.

`write_samples` takes plain data, which may come from a study or from any evaluation log. The page
holds columns of numbers with dictionaries for what repeats, and the texts in compressed blocks; its
script unpacks them in the browser. All text reaches the page as data and is shown as text only.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mixmerge.files import write_text
from mixmerge.records.results import AxisInfo, Better, Kind
from mixmerge.reporting import formats
from mixmerge.reporting.page import environment, script, sheet

_TEXT, _ITEM = "\x1f", "\x1e"
"""Separators of the texts of an item, and of items: ASCII's unit and record separator."""
_SHOWN = {ord(_TEXT): "␟", ord(_ITEM): "␞"}
_BLOCK = 2_000_000
"""Characters of a block: each is unpacked at once, in some 20 ms."""
_OUTCOMES = {
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
    kind: Kind = "given"
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
    """In the order in which they are shown; the first two are compared at first."""
    axes: Mapping[str, Better]
    """Which direction is better, by axis."""
    items: Iterable[SampleItem]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a page holds. A browser needs about two bytes of memory for each character."""

    text: int = 4_000
    """Characters of one text; longer ones are cut."""
    total: int = 64_000_000
    """Characters of all texts; with more, a sample of the items is shown."""
    items: int = 50_000
    """Items; browsers cannot scroll through millions."""
