"""What a study would do and cost, before it does: reads files, loads no model library."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixmerge.execution.plan import Planned, State, plan
from mixmerge.execution.store import Store
from mixmerge.study.costs import (
    Calls,
    Tokens,
    disk_bytes,
    free_bytes,
    judge_calls,
    seconds,
    training_tokens,
)
from mixmerge.study.run import prepare
from mixmerge.study.steps import KINDS
from mixmerge.study.steps.train import trained_rows


@dataclass(frozen=True)
class PlanRow:
    """One step."""

    step: str
    state: State
    reason: str
    """Why it is out of date."""
    parents: tuple[str, ...]
    """The steps it builds on."""
    cost: str


@dataclass(frozen=True)
class Explained:
    """A study's plan with its costs; None where something is not known yet."""

    study: str
    root: Path
    rows: list[PlanRow]
    training_rows: int
    """Rows times epochs, of the trainings that would run."""
    training_tokens: Tokens
    """Of the same."""
    disk_bytes: int | None
    """Of the checkpoints that would be made."""
    free_bytes: int
    """Where the run folder is."""
    calls: Calls
    """To judge models."""
    seconds: float | None
    """Of one core, from the seconds of finished steps of the same kinds."""


def explain(
    study: Path | str, out: Path | str | None = None, *, seed: int | None = None
) -> Explained:
    """Say what `mixmerge.run` would do with a study file.

    Runs nothing. Digests of the files that the study names are kept in ``cache`` of the run folder:
    neither the next plan nor the run reads large ones again.

    Args:
        study: The study file.
        out: The run folder; by default ``runs/<study's name>``.
        seed: Instead of the study's.

    Raises:
        SpecError: the study file is wrong, with the line.
    """
    prepared = prepare(study, out, seed=seed)
    planned = {item.step.id: item for item in plan(prepared.steps, Store(prepared.root))}
    todo = [item for item in planned.values() if item.state != "done"]
    return Explained(
        study=prepared.study.study,
        root=prepared.root,
        rows=[_row(item, planned) for item in planned.values()],
        training_rows=sum(trained_rows(item, planned) for item in todo),
        training_tokens=training_tokens(todo, planned),
        disk_bytes=disk_bytes(todo, planned),
        free_bytes=free_bytes(prepared.root),
        calls=judge_calls(prepared.study, todo, planned),
        seconds=seconds(todo, planned),
    )


def _row(item: Planned, planned: Mapping[str, Planned]) -> PlanRow:
    parents = tuple(dict.fromkeys(item.step.inputs.values()))
    return PlanRow(item.step.id, item.state, item.reason, parents, _cost(item, planned))


def _cost(item: Planned, planned: Mapping[str, Planned]) -> str:
    if item.record is not None:
        adopted = item.record.get("adopted")
        return f"adopted from {adopted}" if adopted else f"took {item.record['seconds']:.1f} s"
    return KINDS[item.step.kind].cost(item, planned)
