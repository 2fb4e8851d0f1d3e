"""Which models a report shows, in which order, under which names."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from mixmerge.records.results import Interval, Kind, ModelResult, Results, Stage
from mixmerge.reporting.formats import share

KIND_NAMES: dict[Kind, str] = {
    "base": "Base model",
    "mixture": "Mixture",
    "expert": "Expert",
    "merge": "Merge",
}


_LONGEST = 18
"""Characters of a label in a figure."""


def stage_name(stage: Stage | None) -> str:
    """Return the stage as people write it: ``SFT`` or ``DPO``; ``Other`` for models of none."""
    return stage.upper() if stage else "Other"


def stage_key(stage: Stage | None) -> str:
    """Return what the names of a stage's tables and figures begin with."""
    return stage or "other"


def stages(results: Results) -> list[Stage]:
    """Return the stages that have a model, in the order of training."""
    present = {model.stage for model in results.models.values()}
    order: Sequence[Stage] = get_args(Stage)
    return [stage for stage in order if stage in present]


def groups(results: Results) -> list[Stage | None]:
    """Return the stages that have a model, after None where models say none.

    A stand-alone evaluation need not say the stage of its models.
    """
    return [*([None] if models_of(results, None) else []), *stages(results)]


def all_models(results: Results) -> list[str]:
    """Return every model in the order of the tables: the base, models of no stage, stages."""
    return [*base_models(results), *(n for s in groups(results) for n in models_of(results, s))]


def base_models(results: Results) -> list[str]:
    """Return the base model's name as a list, empty while it has no result."""
    return [name for name, model in results.models.items() if model.kind == "base"]


def models_of(results: Results, stage: Stage | None) -> list[str]:
    """Return the models of one stage, or of none: trained ones by safety share, then merges.

    Merges keep the order of the results, which is that of the study file.
    """

    def key(name: str) -> tuple[bool, float]:
        model = results.models[name]
        return model.kind == "merge", model.safety_share or 0.0

    return sorted(
        (n for n, m in results.models.items() if m.stage == stage and m.kind != "base"), key=key
    )


def short_name(name: str, stage: Stage | None) -> str:
    """Drop the stage from a model's name, where a heading says it already."""
    if stage is None:
        return name
    for mark in "-_":
        for shorter in (name.removeprefix(stage + mark), name.removesuffix(mark + stage)):
            if shorter not in (name, ""):
                return shorter
    return name


def display_names(results: Results, names: Sequence[str]) -> dict[str, str]:
    """Return what figures call each model: short enough for a label, different from all others.

    The first that will do of: the share of safety data, the name without the stage, the merge
    method, the full name, and the beginning of the name with a number.
    """
    options = {name: _options(results.models[name], name) for name in names}
    often = Counter(option for own in options.values() for option in set(own))
    return {
        name: next(
            (option for option in own if often[option] == 1 and len(option) <= _LONGEST),
            f"{name[: _LONGEST - 5]}… {number}",
        )
        for number, (name, own) in enumerate(options.items(), 1)
    }


def _options(model: ModelResult, name: str) -> list[str]:
    by_share = [] if model.safety_share is None else [f"{share(model.safety_share)} safety"]
    by_method = [] if model.method is None else [model.method]
    return [*by_share, short_name(name, model.stage), *by_method, name]


def non_dominated(rates: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the models that no other beats on both axes, by rising win rate.

    Args:
        rates: (win rate, harm rate) by model; a high win rate and a low harm rate are good.
    """
    front = [
        name for name, own in rates.items() if not any(dominates(o, own) for o in rates.values())
    ]
    return sorted(front, key=lambda name: rates[name])


def dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Say whether ``a`` is at least as good as ``b`` on both axes and better on one."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def ends(value: float, ci: Interval | None) -> Interval:
    """Return an interval, or the value twice where none is offered: a mark without a bar."""
    return ci or (value, value)


def rates(model: ModelResult) -> tuple[float, float]:
    """Return (win rate, harm rate) of a model."""
    return model.general.win_rate, model.safety.harm_rate
