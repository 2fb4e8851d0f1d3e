"""Merges that come before a merge: names of stages inside references, and an order to make them."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from mixmerge.errors import SpecError


def stage_of(reference: str) -> str:
    """Return the part of a reference that may be the name of a stage: all but the adapter."""
    return reference.partition("+")[0]


def at(reference: str, folders: Mapping[str, Path]) -> str:
    """Return a reference with the folder of a stage in place of its name."""
    name = stage_of(reference)
    return str(folders[name]) + reference[len(name) :] if name in folders else reference


def order(uses: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return stages so that each comes after those it uses.

    Args:
        uses: the references of each stage, by its name.

    Raises:
        SpecError: stages use each other in a circle.
    """
    before = {
        name: [other for other in map(stage_of, references) if other in uses]
        for name, references in uses.items()
    }
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        circle = " uses ".join(f"`{name}`" for name in reversed(error.args[1]))
        raise SpecError(f"stages that need each other cannot be made: {circle}.") from None
