"""A large merge on several machines: the files of the output do not depend on each other.

Whoever has nothing to do locks the next file and writes it: the process that merges, and the
helpers that an engine finds room for. A lock ends with its helper, so that what a lost one has left
is written again, the same bytes. ``python -m mixmerge.merging.distributed JOB`` is a helper.
"""

import os
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from mixmerge.durable import take_lock
from mixmerge.execution.engine import Helpers
from mixmerge.files import read_json, write_json
from mixmerge.merging.output.shards import Shard, lay_out
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe
from mixmerge.merging.write import write_shards
from mixmerge.progress import Progress
from mixmerge.spec_model import SpecModel

_CLAIMS = ".claims"
_JOB = "job.json"
_MOST_HELPERS = 64
_LOOK_EVERY_SECONDS = 0.2


class Job(SpecModel):
    """What a helper needs to know to write the same bytes."""

    recipe: dict[str, Any]
    """In mixmerge's own form."""
    folder: str
    """From which the recipe's relative paths are meant."""
    stages: dict[str, str]
    """Folders of the merges that came before, by name."""
    seed: int
    shard_size: int
    verify: bool
    allow_pickle: bool


def write_together(
    plan: MergePlan,
    job: Job,
    folder: Path,
    helpers: Helpers,
    threads: int | None,
    progress: Progress,
) -> None:
    """Write all files of a merge, some of them by helpers, which see ``folder`` under this path.

    Raises:
        ModelError: an input or the result is not finite, or an input changed.
        ResourceError: the disk has too little space.
    """
    shards = lay_out(plan.outputs, job.shard_size)
    forget_claims(folder)
    claims = folder / _CLAIMS
    claims.mkdir()
    write_json(claims / _JOB, job.model_dump(mode="json"))
    helpers.start(
        ("mixmerge.merging.distributed", str(claims / _JOB)), min(len(shards), _MOST_HELPERS)
    )
    try:
        while missing := [shard for shard in shards if not (folder / shard.file).exists()]:
            whole = sum(shard.nbytes for shard in shards if shard not in missing)
            progress(whole, sum(shard.nbytes for shard in shards), "merging")
            if not any(_write(plan, shard, claims, job, threads) for shard in missing):
                time.sleep(_LOOK_EVERY_SECONDS)
    finally:
        helpers.stop()
        forget_claims(folder)


def forget_claims(folder: Path) -> None:
    """Remove what a merge that was killed has left beside its files."""
    shutil.rmtree(folder / _CLAIMS, ignore_errors=True)


def _write(plan: MergePlan, shard: Shard, claims: Path, job: Job, threads: int | None) -> bool:
    """Write a file unless it is whole, or another process writes it; say whether it was written."""
    folder = claims.parent
    with (claims / shard.file).open("ab") as claim:
        if not take_lock(claim.fileno(), folder) or (folder / shard.file).exists():
            return False
        write_shards(plan, [shard], folder, seed=job.seed, threads=threads, verify=job.verify)
    return True


def help_out(job_file: Path) -> None:
    """Write files of a merge until all are whole or being written."""
    job, claims = Job.model_validate(read_json(job_file)), job_file.parent
    folders = {name: Path(path) for name, path in job.stages.items()}
    os.chdir(job.folder)
    recipe = read_recipe(job.recipe)
    with closing(plan_merge(recipe, stages=folders, allow_pickle=job.allow_pickle)) as plan:
        for shard in lay_out(plan.outputs, job.shard_size):
            _write(plan, shard, claims, job, threads=1)


if __name__ == "__main__":
    help_out(Path(sys.argv[1]))
