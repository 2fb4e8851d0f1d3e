"""The paper's grid over several seeds, and the page that compares it with the paper.

    python -m benchmarks.paper runs/paper --seeds 5

Every seed is one run of ``examples/paper/all.yaml`` in a folder of its own; finished steps are
reused, so an interrupted grid goes on. ``--page`` writes the page of what is done so far.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.paper.collect import findings, read_run
from benchmarks.paper.mechanisms import mechanisms

import mixmerge

ALL = Path(__file__).parents[2] / "examples" / "paper" / "all.yaml"


def run_seeds(study: Path, root: Path, seeds: int, workers: int | None) -> None:
    """Run every seed that is not finished."""
    for seed in range(seeds):
        print(f"seed {seed} of {seeds}: {root / f'seed-{seed}'}", flush=True)
        mixmerge.run(
            study, root / f"seed-{seed}", only=["results/study"], seed=seed, workers=workers
        )


def write(study: Path, root: Path, seeds: int) -> Path:
    """Write the page from what is there of the first seeds."""
    from mixmerge.report.paper.write import write_page

    runs = [read_run(study, root / f"seed-{seed}", seed) for seed in range(seeds)]
    commands = [
        f"mixmerge run {study} --seed {seed} --out {root}/seed-{seed}" for seed in range(seeds)
    ]
    found = findings(runs, commands)
    found = replace(found, mechanisms=[each for run in runs for each in mechanisms(run, found)])
    return write_page(found, root / "page")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of the seeds' runs and of the page")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--study", type=Path, default=ALL, help="instead of the whole grid")
    parser.add_argument("--workers", type=int, help="cores in use; by default all")
    parser.add_argument("--page", action="store_true", help="only write the page from what is done")
    asked = parser.parse_args()
    if not asked.page:
        run_seeds(asked.study, asked.root, asked.seeds, asked.workers)
    print(write(asked.study, asked.root, asked.seeds))


if __name__ == "__main__":
    main()
