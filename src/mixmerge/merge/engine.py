"""Carry out a merge: recipe in, model folder out, the same bytes on any number of threads."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import whole_folder
from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.random_bits import random_bits
from mixmerge.merge.kernels.rounding import STORED, all_finite, narrow, widen
from mixmerge.merge.lineage import RECIPE_FILE, copy_donor_files, write_lineage
from mixmerge.merge.methods.method import Tensors
from mixmerge.merge.plan import MergePlan, Row, check_target, plan_merge
from mixmerge.merge.recipe import MergeRecipe
from mixmerge.merge.recipe_file import read_recipe
from mixmerge.merge.safetensors_io import ShardedWriter, StoredTensor
from mixmerge.progress import Progress, silent

SHARD_SIZE = 5_000_000_000
"""Most bytes per weight file, as in ``save_pretrained``."""


def merge(
    recipe: Path | Mapping[str, Any] | MergeRecipe,
    out: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    shard_size: int = SHARD_SIZE,
    progress: Progress = silent,
) -> None:
    """Merge models into a Hugging Face folder that transformers and vLLM load as any other.

    Arithmetic is float32 with one rounding to the output's type. Memory is a few times the
    largest tensor for each thread; weights are mapped, never loaded whole.

    Args:
        recipe: a YAML file in mergekit's form or ours, its parsed content, or a recipe.
        out: the folder to write; it appears whole or not at all, and replaces an older merge.
        seed: of the methods that draw at random; others do not depend on it.
        threads: how many tensors to merge at once; None: one for each processor.
        shard_size: most bytes per weight file.
        progress: hears the bytes written.

    Raises:
        SpecError: the recipe is wrong, or ``out`` is not a place for a model.
        ModelError: a model is incomplete or broken, or the models do not fit together.
        ResourceError: the disk is full or not writable.
    """
    if shard_size < 1 or (threads is not None and threads < 1):
        raise SpecError(f"threads ({threads}) and shard_size ({shard_size}) must be at least 1.")
    plan = plan_merge(read_recipe(recipe))
    check_target(plan, out, RECIPE_FILE)
    with whole_folder(out.resolve()) as folder:
        copy_donor_files(plan, folder)
        writer = ShardedWriter(folder, [row.output for row in plan.rows], shard_size)
        with _workers(threads) as pool:
            fingerprints = [pool.submit(model.folder.fingerprint) for model in plan.checkpoints]
            jobs = [pool.submit(_write_row, plan, row, seed, writer) for row in plan.rows]
            done = 0
            for row, job in zip(plan.rows, jobs, strict=True):
                job.result()
                done += row.output.nbytes
                progress(done, plan.nbytes, "merging")
            known = [job.result() for job in fingerprints]
        write_lineage(plan, folder, seed, known)


@contextmanager
def _workers(threads: int | None) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool that starts nothing more once its block ends, whatever ended it."""
    pool = ThreadPoolExecutor(threads or _processors())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_row(plan: MergePlan, row: Row, seed: int, writer: ShardedWriter) -> None:
    writer.write(row.output.name, merge_row(plan, row, seed))


def merge_row(plan: MergePlan, row: Row, seed: int) -> npt.NDArray[Any]:
    """Compute one tensor of the output.

    Returns:
        The elements as they are stored (bfloat16 as uint16 bits); at least one dimension.

    Raises:
        ModelError: an input or the result is not finite, or a buffer differs between models.
    """
    if row.arguments is None:
        return _copied(row)
    if not row.models[0].size:
        return np.empty(row.output.shape, STORED[row.output.dtype])
    tensors = Tensors(
        models=[_read(tensor) for tensor in row.models],
        base_if_any=_read(row.base) if row.base is not None else None,
        random_bits=partial(_bits, seed, row),
    )
    # What overflows is found below and refused with the tensor's name.
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        merged = plan.recipe.declaration.combine(tensors, **row.arguments)
        stored = narrow(merged, row.output.dtype)
    if not all_finite(stored, row.output.dtype):
        raise ModelError(
            f"tensor {row.output.name}: the merged values do not fit {row.output.dtype}; "
            "use smaller weights or `dtype: float32`."
        )
    return stored


def _bits(seed: int, row: Row, position: int) -> npt.NDArray[np.uint32]:
    return random_bits(seed, position, row.output.name, row.models[0].size)


def _read(tensor: StoredTensor) -> Array:
    stored = tensor.read(STORED[tensor.dtype])
    if not all_finite(stored, tensor.dtype):
        raise ModelError(
            f"tensor {tensor.name} of {tensor.file}: holds NaN or infinity; "
            "this model is broken and cannot be merged."
        )
    return widen(stored, tensor.dtype)


def _copied(row: Row) -> npt.NDArray[Any]:
    first, *others = [
        tensor.read(_BUFFER[tensor.nbytes // max(1, tensor.size)]) for tensor in row.inputs
    ]
    for tensor, other in zip(row.inputs[1:], others, strict=True):
        if not np.array_equal(first, other):
            raise ModelError(
                f"tensor {tensor.name}: a buffer of {tensor.dtype} that differs between "
                f"{row.inputs[0].file} and {tensor.file}; whole numbers are not merged."
            )
    return first


_BUFFER: dict[int, type[np.generic]] = {
    0: np.uint8,
    1: np.uint8,
    2: np.uint16,
    4: np.uint32,
    8: np.uint64,
}
"""Buffers are compared and copied as bits."""
