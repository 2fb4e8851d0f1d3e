"""Write results and answers of a study as other tools read them; one file for each target.

To add one, write a file with a `write` like `mixmerge.exporting.leaderboard` and name it in
`TARGETS`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixmerge.exporting.data import Write

TARGETS = (
    "lm_eval",
    "inspect",
    "model_card",
    "leaderboard",
)
"""Every target, by the name of its file."""


def writer(target: str) -> "Write":
    """Return the function that writes a target; only its file is imported."""
    write: Write = import_module(f"{__name__}.{target}").write
    return write
