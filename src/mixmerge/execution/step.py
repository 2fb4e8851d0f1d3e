"""Steps as plain values that can be hashed, stored and sent; and their order."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError


@dataclass(frozen=True)
class Needs:
    """What a step occupies while it runs; not part of its identity."""

    cpus: int = 1
    """Cores, on each node."""
    gpus: int = 0
    """Devices, on each node."""
    nodes: int = 1
    """Machines that work on the step together."""
    processes: int = 1
    """Processes on each node; on one node the step starts them, on several the engine."""
    memory_gb: float = 0.0
    """Memory on each node, in gigabytes (1e9 bytes); 0 if unknown."""
    seconds: float = 1.0
    """Rough estimate for the progress display; only ratios matter."""


@dataclass(frozen=True)
class Step:
    """One unit of work: a kind, a name, settings, and inputs."""

    kind: str
    """For example ``train``: the handler, and the parent folder."""
    name: str
    """Unique among the steps of its kind in one study."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON; everything that changes the outcome, and nothing else."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Role to `Step.id` of the step whose output plays it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Role to a file or folder outside the run, identified by content, not path."""
    placement: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON about where and how it runs: devices, threads, batch per device."""
    version: int = 1
    """Raised by hand when the kind's code gives other output for the same settings."""
    by_output: bool = False
    """Whether the identity of dependents follows this step's output instead of its settings.
    For cheap data steps: changed settings that give the same rows then rerun nothing else."""
    needs: Needs = field(default_factory=Needs)
    together: str = ""
    """Steps with the same name here start together, in as many processes as there is room for, one
    after another in each: what the first loads, such as a judge's weights, is there for the others.
    No part of the identity."""

    @property
    def id(self) -> str:
        """``kind/name``."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Task:
    """A step as its handler sees it, with folders instead of names."""

    kind: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    files: Mapping[str, Path]
    placement: Mapping[str, Any]
    folder: Path
    """Where the handler writes its outputs."""
    cache: Path
    """A folder shared by all steps of the run, for data that can be recomputed."""


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Sort steps so that each follows its inputs, otherwise in the given order.

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
                raise SpecError(f"{step.id}: its input `{role}` is {parent}, which is not a step.")
    sorter = TopologicalSorter(
        {s.id: list(dict.fromkeys(s.inputs.values())) for s in by_id.values()}
    )
    try:
        return [by_id[name] for name in sorter.static_order()]
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise SpecError(f"these steps depend on each other in a circle: {circle}.") from None


def needed_for(wanted: Iterable[str], steps: Mapping[str, Step]) -> set[str]:
    """Return the ids of the wanted steps and of all their inputs."""
    found: set[str] = set()
    stack = list(wanted)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack.extend(steps[name].inputs.values())
    return found
