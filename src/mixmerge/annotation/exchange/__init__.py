"""Annotation tools: write the items for them, and read their exports.

To add one, write a file like `mixmerge.annotation.exchange.argilla` and name it in `_FILES`.
"""

from importlib import import_module
from typing import Any

from mixmerge.annotation.exchange.format import ExchangeFormat

_FILES = ("argilla", "label_studio")

FORMATS: dict[str, ExchangeFormat] = {
    file: import_module(f"{__name__}.{file}").FORMAT for file in _FILES
}
"""By name."""


def recognised(value: Any) -> str | None:
    """Return the name of the format of an export; None if it is of no tool."""
    if not isinstance(value, list) or not value:
        return None
    return next((name for name, each in FORMATS.items() if each.recognises(value)), None)
