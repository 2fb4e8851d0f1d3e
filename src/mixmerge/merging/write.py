"""Write files of a merged model."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mixmerge.errors import ResourceError
from mixmerge.merging.compute import compute
from mixmerge.merging.output.shards import Shard, ShardFile
from mixmerge.merging.output.workplace import check_space
from mixmerge.merging.planning.plan import MergePlan, Row
from mixmerge.merging.streaming.tensor import Spread
from mixmerge.merging.streaming.workers import Counter, Workers, workers
from mixmerge.progress import Progress, silent


def write_shards(
    plan: MergePlan,
    shards: Sequence[Shard],
    folder: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    verify: bool = False,
    progress: Progress = silent,
) -> None:
    """Merge into files of a model; those that are there already are whole and are left alone.

    Files do not depend on each other: several machines may each write some of them.

    Args:
        plan: the merge.
        shards: the files to write, from `lay_out`.
        folder: an existing folder.
        seed: of the random draws.
        threads: how many to use; None: one for each processor.
        verify: read each file again, from the disk, before it counts as whole.
        progress: hears the bytes written.

    Raises:
        ModelError: an input or the result is not finite, or an input changed.
        ResourceError: the disk has too little space, or lost what was written.
    """
    rows = {row.output.name: row for row in plan.rows}
    missing = [shard for shard in shards if not (folder / shard.file).exists()]
    check_space(folder, sum(shard.nbytes for shard in missing))
    total = sum(shard.data for shard in shards)
    counter = Counter(progress, total, total - sum(shard.data for shard in missing))
    with ExitStack() as files, workers(threads) as pool:
        for shard in missing:
            file = ShardFile(folder, shard, pool.later, verify=verify)
            files.callback(file.close)
            pool.run(
                (math.prod(row.output.shape), partial(_write, plan, row, seed, file, counter, pool))
                for row in (rows[name] for name in shard.places)
            )
    for shard in shards:
        if not (folder / shard.file).exists():
            raise ResourceError(
                f"{folder / shard.file}: was written and is gone; nobody else may change this "
                "folder. Merge again."
            )


def _write(
    plan: MergePlan,
    row: Row,
    seed: int,
    file: ShardFile,
    counter: Counter,
    pool: Workers,
    spread: Spread,
    hold: int,
) -> None:
    """Compute one tensor into its place; the last one of a file finishes it."""

    def receive(start: int, content: memoryview) -> None:
        file.write(row.output.name, start, content)
        counter.add(len(content))

    compute(row, plan.recipe.declaration, seed, spread, hold, receive)
    if file.tensor_is_written():
        pool.later(file.finish)
