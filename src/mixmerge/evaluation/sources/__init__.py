"""Where the scores of an axis come from, if not from prompts and a judge; one file each.

To add one, write a file with an `AXIS`, a subclass of `ScoredAxis`, and name it in `_FILES`.
"""

from importlib import import_module

from mixmerge.evaluation.sources.source import HarnessSpec, ScoredAxis, SourceSpec

__all__ = ["SOURCES", "HarnessSpec", "ScoredAxis", "SourceSpec"]

_FILES = (
    "lm_eval",
    "inspect",
    "log",
)

SOURCES: dict[str, type[ScoredAxis]] = {
    axis.key: axis for axis in (import_module(f"{__name__}.{file}").AXIS for file in _FILES)
}
"""The axes by the key that names their source in a study file."""
