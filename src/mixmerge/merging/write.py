"""Compute the output tensors and write them to files."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from mixmerge.errors import ModelError, ResourceError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.rounding import narrow_into
from mixmerge.merging.methods.method import Method
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT
from mixmerge.merging.models.sources import StoredSource, scratch
from mixmerge.merging.output.shards import Shard, ShardFile
from mixmerge.merging.output.workplace import check_space
from mixmerge.merging.planning.plan import MergePlan, Row
from mixmerge.merging.streaming.tensor import ParallelMap, Tensor
from mixmerge.merging.streaming.workers import Counter, Workers
from mixmerge.progress import Progress, silent

Receive = Callable[[int, memoryview], None]
"""Receives finished bytes of a tensor, from any thread in any order: the offset, and the bytes,
which the caller will overwrite."""

_COPIED_AT_ONCE = 1 << 20


def compute(
    row: Row, method: Method, seed: int, parallel_map: ParallelMap, hold: int, receive: Receive
) -> None:
    """Merge or copy one tensor, keeping at most ``hold`` bytes of inputs in memory.

    Raises:
        ModelError: an input or the result is not finite, or a buffer differs between models.
    """
    if row.arguments is None:
        _copy(row, receive)
    if row.arguments is None or not row.output.nbytes:
        return
    tensor = Tensor(
        row.draws,
        row.models,
        row.base,
        positions=row.positions,
        seed=seed,
        by_row=method.by_row,
        parallel_map=parallel_map,
        hold=hold,
    )
    width = BYTES_PER_ELEMENT[row.output.dtype]

    def take(start: int, merged: Array) -> None:
        raw = scratch("merged", merged.size * width)
        if not narrow_into(merged, row.output.dtype, raw):
            raise ModelError(
                f"tensor {row.output.name}: the merged values do not fit {row.output.dtype}; "
                "use smaller weights or `dtype: float32`."
            )
        receive(start * width, raw.data)

    # Overflow is detected when rounding, where the tensor's name is known.
    with np.errstate(all="ignore"):
        tensor.apply(method.merge(tensor, **row.arguments), take)


def _copy(row: Row, receive: Receive) -> None:
    first, *others = [source for source in row.inputs if isinstance(source, StoredSource)]
    for start in range(0, row.output.nbytes, _COPIED_AT_ONCE):
        count = min(_COPIED_AT_ONCE, row.output.nbytes - start)
        content = first.read_bytes(start, count)
        for other in others:
            if other.read_bytes(start, count) != content:
                raise ModelError(
                    f"tensor {row.output.name}: a buffer of {row.output.dtype} that differs "
                    f"between {first.tensor.file} and {other.tensor.file}; "
                    "integers are not merged."
                )
        receive(start, memoryview(content))


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
    """Write the given files of a model; files that already exist are complete and are skipped.

    Files are independent: several machines may each write some of them. With ``verify`` each file
    is read back from disk before it counts as complete.

    Raises:
        ModelError: an input or the result is not finite, or an input changed.
        ResourceError: the disk has too little space, or lost what was written.
    """
    rows = {row.output.name: row for row in plan.rows}
    missing = [shard for shard in shards if not (folder / shard.file).exists()]
    check_space(folder, sum(shard.nbytes for shard in missing))
    total = sum(shard.data for shard in shards)
    counter = Counter(progress, total, total - sum(shard.data for shard in missing))
    with ExitStack() as files, Workers(threads) as pool:
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
                f"{folder / shard.file}: was written and has disappeared; do not change this "
                "folder during a merge. Merge again."
            )


def _write(
    plan: MergePlan,
    row: Row,
    seed: int,
    file: ShardFile,
    counter: Counter,
    pool: Workers,
    parallel_map: ParallelMap,
    hold: int,
) -> None:
    """Compute one tensor into its file, and finish the file after its last tensor."""

    def receive(start: int, content: memoryview) -> None:
        file.write(row.output.name, start, content)
        counter.add(len(content))

    compute(row, plan.recipe.declaration, seed, parallel_map, hold, receive)
    if file.tensor_is_written():
        pool.later(file.finish)
