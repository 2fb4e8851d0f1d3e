"""Run a study once for every seed, and what the command lines that do so have in common."""

import argparse
import subprocess
import sys
from pathlib import Path


def arguments(about: str, seeds: int) -> argparse.ArgumentParser:
    """Return a parser of the folder, the seeds, the workers and the page to show the results in.

    Args:
        about: the module's text, of which the first line is shown.
        seeds: how many by default.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of the seeds' runs")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--workers", type=int, help="cores in use; by default all")
    parser.add_argument("--docs", type=Path, help="a Markdown page to show the tables in, too")
    return parser


def command(study: Path, root: Path, seed: int) -> list[str]:
    """Return the command line that runs one seed, after the name of the program."""
    return [
        "run", str(study), "--seed", str(seed), "--out", str(root / f"seed-{seed}"),
        "--only", "results/study",
    ]  # fmt: skip


def run_seeds(study: Path, asked: argparse.Namespace) -> None:
    """Run every seed that is not finished, each by its own command line, bars and all."""
    more = ["--workers", str(asked.workers)] if asked.workers else []
    for seed in range(asked.seeds):
        print(f"{study.stem}: seed {seed} of {asked.seeds}", flush=True)
        line = [sys.executable, "-m", "mixmerge", *command(study, asked.root, seed), *more]
        code = subprocess.run(line, check=False).returncode
        if code:
            sys.exit(code)
