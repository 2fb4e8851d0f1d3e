"""The models that a report shows, with their order and names."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mixmerge.records import Axis
from mixmerge.records.results import (
    ARMS,
    DISTIL,
    MERGE_THEN_DISTIL,
    Arm,
    Interval,
    Results,
    Stage,
)

ARM_NAMES: dict[Arm, str] = {
    "base": "Base model",
    "given": "Given model",
    "mix": "Mixture",
    "single expert": "Expert",
    "merge": "Merge",
    DISTIL: "Distilled",
    MERGE_THEN_DISTIL: "Merged, then distilled",
}
"""Arms that the study names have the name that it gives them."""

EXTRA_MARKS = ("arm-1", "arm-2", "arm-3", "arm-4", "arm-5")
"""Marks of students, the first two, and of arms that the study names; more arms share them."""

_TRAINED = ("mixture", "expert")
_LONGEST = 24
"""Longest label in a figure, in characters."""
_KEPT = 11
"""Characters that a shortened name keeps from its end."""


def stage_name(stage: Stage | None) -> str:
    """Return the stage's displayed name: abbreviations in capitals, such as ``SFT``."""
    if not stage:
        return ""
    return stage.upper() if len(stage) <= 3 else stage[0].upper() + stage[1:]


def stages(results: Results) -> list[Stage]:
    """Return the stages that have a model, as they first appear: the order of training."""
    return list(dict.fromkeys(model.stage for model in results.models.values() if model.stage))


def of_stage(results: Results, stage: Stage | None) -> str:
    """Return the start of a title: the stage, if there are several."""
    return f"{stage_name(stage)}: " if len(stages(results)) > 1 else ""


def titled(results: Results, stage: Stage | None, words: str) -> str:
    """Return a title or sentence about a stage, with its name if there are several."""
    prefix = of_stage(results, stage)
    return prefix + words if prefix else words[0].upper() + words[1:]


def file_name(*parts: str) -> str:
    """Join names into one that is safe as a file name and as an HTML identifier."""
    return "-".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)


def all_models(results: Results) -> list[str]:
    """Return every model in the order of the tables: the base model, then stage by stage."""
    return [*base_models(results), *(n for s in stages(results) for n in models_of(results, s))]


def base_models(results: Results) -> list[str]:
    """Return the base model's name as a list; empty while it has no result."""
    return [name for name, model in results.models.items() if model.kind == "base"]


def beside_base(results: Results, stage: Stage) -> list[str]:
    """Return the base model and the models of one stage."""
    return [*base_models(results), *models_of(results, stage)]


def models_of(results: Results, stage: Stage | None) -> list[str]:
    """Return the models of one stage: trained ones sorted by data shares, then merges, then given.

    The share of the last source sorts first. Merges and students, and given models keep the study's
    order.
    """
    names = sources(results)

    def key(name: str) -> tuple[bool, bool, list[float]]:
        model = results.models[name]
        if model.kind not in _TRAINED or model.arm in (DISTIL, MERGE_THEN_DISTIL):
            return True, model.kind == "given", []
        shares = model.shares or {}
        return False, False, [shares.get(source, 0.0) for source in reversed(names)]

    return sorted(
        (n for n, m in results.models.items() if m.stage == stage and m.kind != "base"), key=key
    )


def sources(results: Results) -> list[str]:
    """Return the data sources in the study's order, as mixtures of several list them."""
    shares = sorted((model.shares or {} for model in results.models.values()), key=len)
    return list(dict.fromkeys(source for each in reversed(shares) for source in each))


def is_mix(results: Results, name: str) -> bool:
    """Return whether a model was trained on a mixture of several sources."""
    return name in results.models and results.models[name].arm == "mix"


def arm_name(results: Results, name: str) -> str:
    """Return the displayed name of a model's arm."""
    arm = results.models[name].arm
    return ARM_NAMES.get(arm, arm)


def names_arms(results: Results) -> bool:
    """Return whether there are arms besides mixing and merging, which every report explains."""
    return any(model.arm not in ARMS for model in results.models.values())


def nouns(results: Results) -> tuple[str, str]:
    """Return what the models tested against baselines are, as one and as several."""
    return ("model", "models") if names_arms(results) else ("merge", "merges")


def mark(results: Results, name: str) -> str:
    """Return the word that stands for the colour and the marker of a model's arm."""
    arm = results.models[name].arm
    if arm in ARMS:
        return ARMS[arm]
    known = (DISTIL, MERGE_THEN_DISTIL, *(each.arm for each in results.models.values()))
    extra = [each for each in dict.fromkeys(known) if each not in ARMS]
    return EXTRA_MARKS[extra.index(arm) % len(EXTRA_MARKS)]


def labels(names: Sequence[str]) -> dict[str, str]:
    """Return each model's label in figures: its name, of which a long one loses the middle.

    Models whose labels would be equal get their numbers in the figure, too.
    """
    cut = {
        name: name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_KEPT:]}"
        for name in names
    }
    often = Counter(cut.values())
    return {
        name: label if often[label] == 1 else f"{label[: _LONGEST - 4]}… {number}"
        for number, (name, label) in enumerate(cut.items(), 1)
    }


def gains(
    results: Results, names: Iterable[str], axes: Sequence[Axis]
) -> dict[str, tuple[float, ...]]:
    """Return values on some axes, signed so that higher is better, of models that have all."""
    scores = {name: results.models[name].axes for name in names}
    return {
        name: tuple(results.axes[axis].sign * own[axis].value for axis in axes)
        for name, own in scores.items()
        if set(axes) <= own.keys()
    }


def non_dominated(found: Mapping[str, tuple[float, ...]]) -> list[str]:
    """Return the models that no other dominates in `gains`, by rising value on the first axis."""
    rivals = found.values()
    front = [name for name, own in found.items() if not any(dominates(o, own) for o in rivals)]
    return sorted(front, key=lambda name: found[name])


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Return whether ``a`` is at least as good as ``b`` on all axes and better on one."""
    return a != b and all(own >= other for own, other in zip(a, b, strict=True))


def ends(value: float, ci: Interval | None) -> Interval:
    """Return the interval, or the value twice without one: a marker without an error bar."""
    return ci or (value, value)
