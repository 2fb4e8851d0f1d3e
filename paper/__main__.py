"""The paper's grid over several seeds, and the page that compares it with the paper.

    python -m paper runs/paper --seeds 5

Every seed is one run of ``paper/studies/all.yaml`` in its own folder; finished steps are reused, so
an interrupted grid resumes. ``--page`` writes the page from the steps finished so far.
"""

import sys
from dataclasses import replace
from pathlib import Path

from mixmerge.errors import DataError
from paper.collect import findings
from paper.measure import mechanisms
from paper.seeds import arguments, command, read_seeds, run_seeds

ALL = Path("paper/studies/all.yaml")


def write(study: Path, root: Path, seeds: int, docs: Path | None) -> Path:
    """Write the page from the finished steps of the first seeds, and its tables into ``docs``."""
    from paper.write import publish, write_page

    runs = read_seeds(study, root, seeds)
    commands = [" ".join(["mixmerge", *command(study, root, seed)]) for seed in range(seeds)]
    found = findings(runs, commands)
    found = replace(found, mechanisms=[each for run in runs for each in mechanisms(run, found)])
    page = write_page(found, root / "page")
    if docs is not None:
        publish(found, page, docs)
    return page


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=5)
    parser.add_argument("--study", type=Path, default=ALL, help="replaces the whole grid")
    parser.add_argument(
        "--page", action="store_true", help="only write the page from finished steps"
    )
    asked = parser.parse_args()
    if not asked.page:
        run_seeds(asked.study, asked)
    try:
        print(write(asked.study, asked.root, asked.seeds, asked.docs))
    except DataError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
