"""What a run will miss, looked for before it begins: what can be known costs nothing yet."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import needed_for

_KEY = "api_key_env"


def missing_keys(planned: Sequence[Planned], only: Collection[str] | None = None) -> list[str]:
    """Return a sentence for each key of an endpoint that is not in the environment.

    Args:
        planned: all steps; those that are done need no key any more.
        only: the steps that are wanted, with what they need; all where it is empty.
    """
    steps = {item.step.id: item.step for item in planned}
    wanted = needed_for([*only], steps) if only else steps
    needing: dict[str, list[str]] = {}
    for item in planned:
        if item.state != "done" and item.step.id in wanted:
            for variable in sorted(set(_keys(dict(item.step.placement)))):
                if not os.environ.get(variable, "").strip():
                    needing.setdefault(variable, []).append(item.step.id)
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


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(_KEY), str):
            yield value[_KEY]
        value = list(value.values())
    for each in value if isinstance(value, (list, tuple)) else ():
        yield from _keys(each)
