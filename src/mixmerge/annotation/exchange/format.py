"""What a file about an annotation tool provides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mixmerge.annotation.task import Choice, KeyItem
from mixmerge.records import Axis, Question

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ExchangeFormat:
    """How items and labels are written as JSON for a tool."""

    records: Callable[[Sequence[KeyItem], Mapping[Axis, Question]], Any]
    """Returns the items of one annotator as the tool imports them, without names of models."""
    settings: Callable[[Mapping[Axis, Question]], dict[str, str]]
    """Returns files, by name, that set up a project of the tool."""
    recognises: Callable[[list[Any]], bool]
    """Says whether a JSON list is an export of the tool."""
    labels: Callable[[Any], list[dict[str, Any]]]
    """Returns the labels of an export, as rows of `GivenLabel` with their ``annotator``."""


def label(
    about: Mapping[str, Any], choice: Choice, device: str, place: int, at: Any = None, **more: Any
) -> dict[str, Any]:
    """Return a row of a label; without a time, the place in the file stands in for it.

    ``about`` is what the tool kept of the item: ``annotator``, ``item`` and ``shown``.
    """
    return {
        "annotator": about.get("annotator"),
        "id": about.get("item"),
        "shown": about.get("shown"),
        "choice": choice,
        "device": device[:64],
        "at": at or EPOCH + timedelta(seconds=place),
    } | more
