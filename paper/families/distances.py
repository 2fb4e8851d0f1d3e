"""Distances between languages: of family, of structure, of script."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mixmerge.stats.bootstrap import Floats

TABLE = Path(__file__).with_name("languages.yaml")


def distances(languages: Sequence[str]) -> dict[str, Floats]:
    """Return each distance, shape (languages, languages), from 0 to 1.

    - ``family``: 0 within a branch (French and Spanish), 1/2 within a family, 1 between families;
    - ``structure``: share of the features of the table that differ;
    - ``script``: 0 for the same, 1 for another.
    """
    known: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    described = [known[language] for language in languages]
    kinds: dict[str, Callable[[Any, Any], float]] = {
        "family": lambda a, b: _share_that_differs(a["family"], b["family"]),
        "structure": lambda a, b: _share_that_differs(a["features"], b["features"]),
        "script": lambda a, b: float(a["script"] != b["script"]),
    }
    return {
        kind: np.array([[distance(a, b) for b in described] for a in described])
        for kind, distance in kinds.items()
    }


def _share_that_differs(first: Sequence[str], second: Sequence[str]) -> float:
    return sum(a != b for a, b in zip(first, second, strict=True)) / len(first)
