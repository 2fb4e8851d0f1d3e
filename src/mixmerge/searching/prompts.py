"""Which prompts a candidate answers first, and which only if it is promising."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Prompt
from mixmerge.stats.estimate import MIN_CLUSTERS
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import described
from mixmerge.study.steps.prompts import PromptSettings, read_prompts

Looks = list[dict[Axis, list[Prompt]]]
"""The prompts of each look, by axis."""


def prompts_of(study: Study) -> dict[Axis, list[Prompt]]:
    """Read the prompts of every judged axis of a study.

    Raises:
        DataError: a file is missing or wrong.
    """
    found = {}
    for axis, spec in study.evaluate.judged.items():
        settings, files = described("prompts", spec.prompts)
        asked = PromptSettings.model_validate(settings | {"languages": study.languages})
        found[axis] = read_prompts(asked, {role: Path(path) for role, path in files.items()})
    return found


def looks(
    prompts: Mapping[Axis, Sequence[Prompt]], share: float, seed: int, same: Mapping[Axis, Axis]
) -> Looks:
    """Divide prompts into two looks, source question by source question.

    The first look has ``share`` of the questions of each axis, at least `MIN_CLUSTERS`, and as many
    of each language as of the others where questions have one language each. It is the same for
    every candidate.

    Args:
        prompts: by axis.
        share: of the first look.
        seed: of the order of the questions.
        same: the axis that an axis has its answers from: both get the same questions.
    """
    first: dict[Axis, list[Prompt]] = {}
    rest: dict[Axis, list[Prompt]] = {}
    for axis, rows in prompts.items():
        order = _order(rows, [seed, int(fingerprint(same[axis])[:8], 16)])
        chosen = set(order[: max(MIN_CLUSTERS, math.ceil(share * len(order)))])
        first[axis] = [row for row in rows if row.cluster in chosen]
        rest[axis] = [row for row in rows if row.cluster not in chosen]
    return [first, rest] if any(rest.values()) else [first]


def _order(rows: Sequence[Prompt], seed: Sequence[int]) -> list[str]:
    """Return the clusters in an order of which every beginning has the mix of the whole."""
    language = {row.cluster: row.language for row in reversed(rows)}
    clusters = list(dict.fromkeys(row.cluster for row in rows))
    np.random.default_rng(seed).shuffle(clusters)
    places: dict[str, float] = {}
    for name in dict.fromkeys(language.values()):
        own = [cluster for cluster in clusters if language[cluster] == name]
        places |= {cluster: (n + 0.5) / len(own) for n, cluster in enumerate(own)}
    return sorted(clusters, key=lambda cluster: places[cluster])
