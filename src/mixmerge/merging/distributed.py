"""A large merge on several machines, which works because output files are independent.

Idle processes claim the next file and write it: the merging process itself, and the helpers that an
engine can start. The file of a lost helper is written again, with the same bytes.
``python -m mixmerge.merging.distributed JOB NUMBER`` runs a helper.
"""

import os
import shutil
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from mixmerge.execution.engine import Helpers
from mixmerge.files import read_json, write_json, write_text
from mixmerge.merging.output.shards import Shard, lay_out
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe
from mixmerge.merging.write import write_shards
from mixmerge.progress import Progress
from mixmerge.spec_model import SpecModel

_CLAIMS = ".claims"
_JOB = "job.json"
_MAIN = "main"
_MOST_HELPERS = 64
_LOOK_EVERY_SECONDS = 0.2


class Job(SpecModel):
    """What a helper needs to know to write the same bytes."""

    recipe: dict[str, Any]
    """In mixmerge's own format."""
    folder: str
    """Base of the recipe's relative paths."""
    stages: dict[str, str]
    """Folders of earlier stages, by name."""
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
    """Write all files of a merge, some of them by helpers; return when all are complete.

    ``job`` describes the merge to the helpers, who see ``folder`` under the same path; ``threads``
    are for this process, and ``progress`` counts the bytes of complete files.

    Raises:
        ModelError: an input or the result is not finite, or an input changed.
        ResourceError: the disk has too little space.
    """
    shards = lay_out(plan.outputs, job.shard_size)
    forget_claims(folder)
    claims = folder / _CLAIMS
    claims.mkdir()
    write_json(claims / _JOB, job.model_dump(mode="json"))
    write_text(claims / _MAIN, _MAIN)
    helpers.start(
        ("mixmerge.merging.distributed", str(claims / _JOB)), min(len(shards), _MOST_HELPERS)
    )
    try:
        while missing := [shard for shard in shards if not (folder / shard.file).exists()]:
            whole = sum(shard.nbytes for shard in shards if shard not in missing)
            progress(whole, sum(shard.nbytes for shard in shards), "merging")
            free = next((s for s in missing if _is_free(claims, s, helpers)), None)
            if free is None:
                time.sleep(_LOOK_EVERY_SECONDS)
            else:
                _write(plan, free, folder, job, threads)
    finally:
        helpers.stop()
        forget_claims(folder)


def forget_claims(folder: Path) -> None:
    """Remove the claims of a merge that was killed."""
    shutil.rmtree(folder / _CLAIMS, ignore_errors=True)


def _is_free(claims: Path, shard: Shard, helpers: Helpers) -> bool:
    """Claim a file, even from a helper that ended without writing it."""
    if _claim(claims, shard, _MAIN):
        return True
    owner = _note(claims, shard).read_text(encoding="utf-8")
    lost = owner.isdigit() and helpers.ended(int(owner))
    # The helper may have finished the file just before it ended.
    return lost and not (claims.parent / shard.file).exists()


def _note(claims: Path, shard: Shard) -> Path:
    return claims / shard.file.replace("/", ".")


def _claim(claims: Path, shard: Shard, owner: str) -> bool:
    """Claim a file; creating a hard link succeeds for one process only."""
    try:
        _note(claims, shard).hardlink_to(claims / owner)
    except FileExistsError:
        return False
    return True


def _write(plan: MergePlan, shard: Shard, folder: Path, job: Job, threads: int | None) -> None:
    write_shards(plan, [shard], folder, seed=job.seed, threads=threads, verify=job.verify)


def help_out(job_file: Path, number: str) -> None:
    """Write files of a merge until all are claimed, as the helper with this number.

    The job file is in the folder of claims, which is in the folder of the weight files.
    """
    job, claims = Job.model_validate(read_json(job_file)), job_file.parent
    write_text(claims / number, number)
    folders = {name: Path(path) for name, path in job.stages.items()}
    os.chdir(job.folder)
    recipe = read_recipe(job.recipe)
    with closing(plan_merge(recipe, stages=folders, allow_pickle=job.allow_pickle)) as plan:
        for shard in lay_out(plan.outputs, job.shard_size):
            if not (claims.parent / shard.file).exists() and _claim(claims, shard, number):
                _write(plan, shard, claims.parent, job, threads=1)


if __name__ == "__main__":
    help_out(Path(sys.argv[1]), sys.argv[2])
