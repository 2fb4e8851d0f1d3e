"""One of several processes of a training: ``python -m mixmerge.training.worker JOB OUT ERROR``.

Objectives with rewards add the factory of the reward and its arguments in JSON.

Started by torchrun (see `mixmerge.training.ranks.launch`), or by hand for debugging.
"""

import json
import sys
from pathlib import Path

from mixmerge import files
from mixmerge.execution.child import die_with_parent
from mixmerge.progress import silent
from mixmerge.training.ranks import is_first_rank, report_error, report_progress
from mixmerge.training.rewards import Reward
from mixmerge.training.run import train
from mixmerge.training.spec import TrainJob


def main(
    job_file: str, out: str, error_file: str, factory: str = "", arguments: str = "null"
) -> None:
    """Run one rank of the training in ``job_file``; an error is written to ``error_file``."""
    die_with_parent()
    job = TrainJob.model_validate(files.read_json(Path(job_file)))
    try:
        train(
            job.settings,
            model=job.model,
            rows=job.rows,
            out=Path(out),
            placement=job.placement,
            reference_cache=job.reference_cache,
            reward=Reward.made(factory, json.loads(arguments)) if factory else None,
            teachers=job.teachers,
            progress=report_progress if is_first_rank() else silent,
        )
    except Exception as error:
        report_error(error, Path(error_file))
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
