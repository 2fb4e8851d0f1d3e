"""The order of steps: every step after what it builds on."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from mixmerge.errors import SpecError
from mixmerge.execution.step import Step


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Return the steps so that each follows its inputs; otherwise in the given order.

    Raises:
        SpecError: two steps share an id, an input does not exist, or steps form a cycle.
    """
    by_id: dict[str, Step] = {}
    for step in steps:
        if step.id in by_id:
            raise SpecError(f"{step.id}: two steps have this name; names must be unique.")
        by_id[step.id] = step
    for step in by_id.values():
        for role, parent in step.inputs.items():
            if parent not in by_id:
                raise SpecError(f"{step.id}: its input `{role}` is {parent}, which does not exist.")
    sorter = TopologicalSorter(
        {s.id: list(dict.fromkeys(s.inputs.values())) for s in by_id.values()}
    )
    try:
        return [by_id[name] for name in sorter.static_order()]
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise SpecError(f"these steps need each other in a circle: {circle}.") from None


def needed_for(wanted: Iterable[str], steps: Mapping[str, Step]) -> set[str]:
    """Return the ids of the wanted steps and of everything they build on."""
    found: set[str] = set()
    stack = list(wanted)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(steps[name].inputs.values())
    return found
