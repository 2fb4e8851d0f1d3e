"""Readers of the evaluation logs that other tools write, and of tables of scores.

To add a format, write a file like `mixmerge.logs.table` with a ``FORMAT`` and name it in `_FILES`.
"""

from importlib import import_module

from mixmerge.logs.scores import Format

_FILES = (
    "run_folder",  # first: the logs of harnesses may be in it
    "lm_eval",
    "inspect",
    "alpaca_eval",
    "table",
)
"""In the order in which a file is tried."""

FORMATS: dict[str, Format] = {}
for _file in _FILES:
    _format: Format = import_module(f"{__name__}.{_file}").FORMAT
    FORMATS[_format.name] = _format
