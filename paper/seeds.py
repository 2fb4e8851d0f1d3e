"""Run a study once for every seed, and read its finished steps."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixmerge.errors import DataError
from mixmerge.execution.plan import plan
from mixmerge.execution.store import Store
from mixmerge.study.run import prepare
from mixmerge.study.spec import Study


def arguments(about: str, seeds: int) -> argparse.ArgumentParser:
    """Return a parser for the folder, the seeds, the workers and the page for the results.

    Args:
        about: the module's docstring; its first line is the description.
        seeds: default number of seeds.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of the seeds' runs")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--workers", type=int, help="most cores to use; by default all")
    parser.add_argument("--docs", type=Path, help="a Markdown page to write the tables to")
    return parser


def command(
    study: Path, root: Path, seed: int, steps: Sequence[str] = ("results/study",)
) -> list[str]:
    """Return the command line that runs these steps of one seed, after the program's name."""
    only = [word for step in steps for word in ("--only", step)]
    return ["run", str(study), "--seed", str(seed), "--out", str(root / f"seed-{seed}"), *only]


def run_seeds(
    study: Path, asked: argparse.Namespace, steps: Sequence[str] = ("results/study",)
) -> None:
    """Run every unfinished seed, each as its own command."""
    more = ["--workers", str(asked.workers)] if asked.workers else []
    for seed in range(asked.seeds):
        print(f"{study.stem}: seed {seed} of {asked.seeds}", flush=True)
        line = [sys.executable, "-m", "mixmerge", *command(study, asked.root, seed, steps), *more]
        code = subprocess.run(line, check=False).returncode
        if code:
            sys.exit(code)


@dataclass(frozen=True)
class SeedRun:
    """One seed of the grid, finished or not."""

    seed: int
    study: Study
    folders: Mapping[str, Path]
    """Folders of the finished steps, by id."""
    seconds: float
    """Seconds of all finished steps."""

    def judged(self, suffix: str = "") -> list[str]:
        """Return the models with verdicts on the test items, or on those of selection."""
        ends = [name.removeprefix("judge/") for name in self.folders if name.startswith("judge/")]
        if suffix:
            return [name.removesuffix(suffix) for name in ends if name.endswith(suffix)]
        return [name for name in ends if "@" not in name]


def read_run(study: Path, root: Path, seed: int) -> SeedRun:
    """Read which steps of a study are finished in a run folder."""
    prepared = prepare(study, root, seed=seed)
    done = [item for item in plan(prepared.steps, Store(root)) if item.folder and item.record]
    return SeedRun(
        seed,
        prepared.study,
        {item.step.id: item.folder for item in done if item.folder},
        sum(float(item.record["seconds"]) for item in done if item.record),
    )


def read_seeds(study: Path, root: Path, seeds: int) -> list[SeedRun]:
    """Read which steps of the first seeds are finished, each seed in its own folder."""
    return [read_run(study, root / f"seed-{seed}", seed) for seed in range(seeds)]


def not_judged(models: Sequence[str], number: str) -> DataError:
    """Return the error for a table that lacks models.

    Args:
        models: the missing ones, at least one.
        number: the start of the message, with the number of missing models.
    """
    return DataError(
        f"{number} models are not judged in every seed yet, the first is `{models[0]}`. Go on with "
        "the same command without --table."
    )
