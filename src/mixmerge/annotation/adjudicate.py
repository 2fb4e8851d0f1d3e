"""Give answers on which people disagree to another person, who does not see what they said."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixmerge.annotation.items import assigned, on_page
from mixmerge.annotation.labels import Collected
from mixmerge.annotation.page import write_page
from mixmerge.annotation.quality import disagreements
from mixmerge.annotation.task import KEY, TASK, KeyItem, TaskPlan
from mixmerge.durable import claimed
from mixmerge.errors import SpecError
from mixmerge.evaluation.calibration.material import Material
from mixmerge.files import write_json, write_rows

Key = tuple[str, str, tuple[str, ...]]
"""An answer: its axis and prompt, and the models that gave it."""


def adjudicate(
    folder: Path,
    plan: TaskPlan,
    key: Sequence[KeyItem],
    found: Collected,
    materials: Sequence[Material],
    people: Mapping[str, tuple[str, ...]],
) -> dict[str, int]:
    """Add pages with the answers that have no majority; return how many each person gets.

    An answer that waits for an earlier adjudicator is not given to another.

    Raises:
        SpecError: a name has a page already, nobody reads a language, or there is no such answer.
        HeldError: a server has the folder.
    """
    for name in people:
        if name.lower() in map(str.lower, plan.annotators):
            raise SpecError(
                f"--annotator {name}: has a page of this task already. Name somebody who has not "
                f"labelled these answers; so far there are {', '.join(plan.annotators)}."
            )
    waiting = _waiting(key, found)
    split = {
        (row.axis, row.prompt, row.models)
        for row in disagreements(found, materials)
        if row.majority is None
    }
    items = {_answer(row): row for row in key if _answer(row) in split - waiting}
    if not items:
        raise SpecError(
            f"{folder}: there is no answer without a majority ({len(split & waiting)} wait for an "
            "adjudicator). Give the files of labels that were sent back, if there are any."
        )
    rng = np.random.default_rng([plan.seed, len(plan.annotators)])
    fresh = [row.model_copy(update={"adjudicates": True}) for row in items.values()]
    given = assigned(fresh, people, [1] * len(fresh), rng)
    plan = plan.model_copy(update={"annotators": {**plan.annotators, **people}})
    rows = list(key)
    with claimed(folder / ".lock", "task", patience=0.0):
        for name, mine in given.items():
            extra = _extra(key, people[name])
            page = on_page(name, mine, extra, materials, rng)
            write_page(folder, plan, name, page, materials)
            rows += page
        # The plan names the new people last: until then nobody looks for their pages.
        write_rows(folder / KEY, rows)
        write_json(folder / TASK, plan.model_dump(mode="json"))
    return {name: len(mine) for name, mine in given.items()}


def _answer(row: KeyItem) -> Key:
    return row.axis, row.prompt, row.models


def _waiting(key: Sequence[KeyItem], found: Collected) -> set[Key]:
    """Return the answers that an adjudicator has and has not labelled."""
    done = {(name, one.item.id) for name, rows in found.judged.items() for one in rows}
    return {_answer(r) for r in key if r.adjudicates and (r.annotator, r.id) not in done}


def _extra(key: Sequence[KeyItem], languages: Sequence[str]) -> list[KeyItem]:
    """Return the task's practice and checks in some languages, each once."""
    extra = {row.shown: row for row in key if row.kind != "item"}
    return [row for row in extra.values() if not languages or row.language in languages]
