"""Carry out a merge: recipe in, model folder out, the same bytes on any number of threads."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.files import write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.merge.compute import compute
from mixmerge.merge.lineage import RECIPE_FILE, copy_donor_files, write_lineage
from mixmerge.merge.plan import MergePlan, Row, check_target, plan_merge
from mixmerge.merge.recipe import MergeRecipe
from mixmerge.merge.recipe_file import read_recipe, recipe_text
from mixmerge.merge.shards import INDEX, Shard, ShardFile, index_text, lay_out
from mixmerge.merge.tensor import Spread, in_turn
from mixmerge.merge.workers import LARGE, Counter, Workers, workers
from mixmerge.merge.workplace import check_space, workplace
from mixmerge.progress import Progress, silent

SHARD_SIZE = 5_000_000_000
"""Most bytes per weight file, as in ``save_pretrained``."""

VERSION = 2
"""Raised whenever the same recipe may give other bytes."""


def merge(
    recipe: Path | Mapping[str, Any] | MergeRecipe,
    out: Path,
    *,
    seed: int = 0,
    threads: int | None = None,
    shard_size: int = SHARD_SIZE,
    verify: bool = False,
    progress: Progress = silent,
) -> None:
    """Merge models into a Hugging Face folder that transformers and vLLM load as any other.

    Arithmetic is float32 with one rounding to the output's type. Inputs are read and the output
    is written a tile at a time, so memory does not grow with the models. A merge that was
    interrupted goes on from the last file that was whole.

    Args:
        recipe: a YAML file in mergekit's form or ours, its parsed content, or a recipe.
        out: the folder to write; it appears whole or not at all, and replaces an older merge.
        seed: of the methods that draw at random; others do not depend on it.
        threads: how many to use; None: one for each processor.
        shard_size: most bytes per weight file.
        verify: read what was written again, from the disk, and compare it.
        progress: hears the bytes written.

    Raises:
        SpecError: the recipe is wrong, or ``out`` is not a place for a model.
        ModelError: a model is incomplete or broken, or the models do not fit together.
        ResourceError: the disk is full or not writable.
    """
    if shard_size < 1 or (threads is not None and threads < 1):
        raise SpecError(f"threads ({threads}) and shard_size ({shard_size}) must be at least 1.")
    with closing(plan_merge(read_recipe(recipe))) as plan:
        check_target(plan, out, RECIPE_FILE)
        shards = lay_out([row.output for row in plan.rows], shard_size)
        with workplace(out.resolve(), _key(plan, seed, shard_size)) as folder:
            write_shards(
                plan, shards, folder, seed=seed, threads=threads, verify=verify, progress=progress
            )
            plan.check_unchanged()
            if len(shards) > 1:
                write_text(folder / INDEX, index_text([row.output for row in plan.rows], shards))
            copy_donor_files(plan, folder)
            write_lineage(plan, folder, seed)


def _key(plan: MergePlan, seed: int, shard_size: int) -> str:
    """Identify everything that decides the bytes of the output's files."""
    inputs = [checkpoint.fingerprint for checkpoint in plan.checkpoints]
    return fingerprint([VERSION, recipe_text(plan.recipe), seed, shard_size, inputs])


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
            # Small tensors wait in line for a thread, while all threads share each large one.
            for row in sorted((rows[name] for name in shard.places), key=_is_large):
                if _is_large(row):
                    pool.check()
                    _write(plan, row, seed, file, counter, pool, pool.spread)
                else:
                    pool.start(_write, plan, row, seed, file, counter, pool, in_turn)


def _is_large(row: Row) -> bool:
    return math.prod(row.output.shape) >= LARGE


def _write(
    plan: MergePlan,
    row: Row,
    seed: int,
    file: ShardFile,
    counter: Counter,
    pool: Workers,
    spread: Spread,
) -> None:
    """Compute one tensor into its place; the last one of a file finishes it."""

    def receive(start: int, content: memoryview) -> None:
        file.write(row.output.name, start, content)
        counter.add(len(content))

    compute(row, plan.recipe.declaration, seed, spread, receive)
    if file.tensor_is_written():
        pool.later(file.finish)
