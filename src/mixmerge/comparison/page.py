"""The page with the items on which models differ: what was asked, and the answers side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mixmerge.comparison.align import TaskTable
from mixmerge.comparison.result import Comparisons
from mixmerge.logs import FORMATS
from mixmerge.logs.scores import Asked
from mixmerge.reporting import formats
from mixmerge.reporting.samples import (
    SampleAnswer,
    SampleItem,
    SampleModel,
    Samples,
    write_samples,
)

_MOST_ANSWERS = 100_000
"""Of one task, in memory at a time."""


def write_page(
    tables: Sequence[TaskTable], found: Comparisons, page: Path, asked: Asked
) -> list[str]:
    """Write the page; return what it leaves out, a sentence each.

    Texts are read here for the first time, from the logs, for the items of one task at a time.
    """
    samples = Samples(
        models=[SampleModel(model) for model in found.models],
        axes={task: info.better for task, info in found.tasks.items()},
        items=(item for table in tables for item in _items(table, found, asked)),
        pair=(found.contrasts[0].a, found.baseline),
    )
    left_out = write_samples(samples, page, title="Items on which models differ")
    return [left_out] if left_out else []


def _items(table: TaskTable, found: Comparisons, asked: Asked) -> Iterator[SampleItem]:
    values = table.values
    with np.errstate(invalid="ignore"):
        differ = np.nanmax(values, axis=1) - np.nanmin(values, axis=1) > 0
    rows = np.flatnonzero(differ)[: _MOST_ANSWERS // len(table.logs)].tolist()
    wanted = frozenset(table.items[row] for row in rows)
    texts = [FORMATS[log.format].texts(log.as_read(), wanted, asked) for log in table.logs]
    info = found.tasks[table.task]
    for row in rows:
        item = table.items[row]
        known = [own[item] for own in texts if item in own]
        target = next((text.target for text in known if text.target), "")
        prompt = known[0].prompt if known else ""
        yield SampleItem(
            axis=table.task,
            id=item,
            prompt=f"{prompt}\nExpected: {target}" if target else prompt,
            answers={
                log.model: SampleAnswer(
                    text=own[item].answer if item in own else "",
                    score=float(values[row, column]),
                    outcome=formats.value(info, float(values[row, column])),
                )
                for column, (log, own) in enumerate(zip(table.logs, texts, strict=True))
                if not np.isnan(values[row, column])
            },
            language=table.language[row] if table.language else "",
            cluster=str(table.cluster[row]),
        )
