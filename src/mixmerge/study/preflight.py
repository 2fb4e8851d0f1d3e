"""What a run will miss, looked for before it begins: what can be known costs nothing yet."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step, needed_for
from mixmerge.study.steps.train import Train

_KEY = "api_key_env"


def missing_keys(planned: Sequence[Planned], only: Collection[str] | None = None) -> list[str]:
    """Return a sentence for each key of an endpoint that is not in the environment.

    Args:
        planned: all steps; those that are done need no key any more.
        only: the steps that are wanted, with what they need; all where it is empty.
    """
    needing: dict[str, list[str]] = {}
    for step in _to_run(planned, only):
        for variable in sorted(set(_keys(dict(step.placement)))):
            if not os.environ.get(variable, "").strip():
                needing.setdefault(variable, []).append(step.id)
    return [
        f"The environment variable {variable}, which holds a key, is not set: {ids[0]} "
        + (f"and {len(ids) - 1} more steps need it." if len(ids) > 1 else "needs it.")
        for variable, ids in needing.items()
    ]


def check_keys(planned: Sequence[Planned], only: Collection[str] | None) -> None:
    """Check that the keys of all endpoints are there before anything is trained for them.

    Raises:
        SpecError: one is not.
    """
    missing = missing_keys(planned, only)
    if missing:
        raise SpecError(
            f"{' '.join(missing)} Set it before the run, or name the steps that do without with "
            "`--only`."
        )


def check_packages(planned: Sequence[Planned], only: Collection[str] | None) -> None:
    """Check that the packages that trainings need are there before anything is trained.

    Raises:
        ResourceError: one is not installed.
    """
    for step in _to_run(planned, only):
        if step.kind == Train.kind and (adapter := Train().read_settings(step).adapter):
            adapter.check_packages()


def _to_run(planned: Sequence[Planned], only: Collection[str] | None) -> list[Step]:
    steps = {item.step.id: item.step for item in planned}
    wanted = needed_for([*only], steps) if only else steps
    return [each.step for each in planned if each.state != "done" and each.step.id in wanted]


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(_KEY), str):
            yield value[_KEY]
        value = list(value.values())
    for each in value if isinstance(value, (list, tuple)) else ():
        yield from _keys(each)
