"""How long to train experts that are to be merged, over seeds: `examples/lengths.yaml`.

    python -m paper.lengths runs/lengths --seeds 5 --docs docs/results.md

runs the study once for every seed, each in a folder of its own, and writes two tables: what the
experts and their merges gain after each length, and whether more training changes one method
otherwise than another. ``--table`` only reads finished steps.
"""

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.page import show

from mixmerge.errors import DataError
from mixmerge.files import read_json
from mixmerge.records import Axis
from mixmerge.study.spec import BASE
from mixmerge.study.steps.select import CHOICE
from paper.arms import Directions, directions, over_axes, require_all
from paper.collect import scores_of
from paper.scores import Formula, Scores
from paper.seeds import SeedRun, arguments, read_seeds, run_seeds
from paper.values import in_words

STUDY = Path("examples/lengths.yaml")
METHODS = ("linear", "ties", "dare")
EXPERTS = ("general", "safety", "months")
"""Each has the name of the axis that it is trained for."""

Lengths = Mapping[str, Mapping[int, str]]
"""By training or by merge over steps: its models after so many steps."""


def gains(scores: Scores, ways: Directions, lengths: Lengths, chosen: Mapping[str, object]) -> str:
    """Return a table of the mean gain over the base model after each length.

    Args:
        scores: of all models.
        ways: which way each axis is better.
        lengths: the models after each length.
        chosen: by method, in words, which lengths won on development items.
    """
    steps = [*lengths[METHODS[0]]]
    head = " | ".join(f"{step} steps" for step in steps)
    lines = [
        f"| points over the base model | {head} | chosen |",
        f"|---|{'---:|' * len(steps)}---|",
    ]
    rows = {"experts, each on its own axis": {axis: lengths[axis] for axis in EXPERTS}}
    rows |= {method: dict.fromkeys(EXPERTS, lengths[method]) for method in METHODS}
    for name, by_axis in rows.items():
        cells = []
        for step in steps:
            gain: dict[Axis, Formula] = {
                axis: {own[step]: 1.0, scores.base: -1.0} for axis, own in by_axis.items()
            }
            cells.append(in_words(over_axes(scores, ways, gain)))
        lines.append(f"| {name} | {' | '.join(cells)} | {chosen.get(name, '–')} |")
    return "\n".join(lines)


def changes(scores: Scores, ways: Directions, lengths: Lengths) -> str:
    """Return a table of how two methods differ in what the last length adds to each other one.

    Zero means that more training does the same to both. A method that wants shorter training than
    another has a negative difference.
    """
    *earlier, last = lengths[METHODS[0]]
    head = " | ".join(f"{step} to {last} steps" for step in earlier)
    lines = [f"| difference of changes | {head} |", f"|---|{'---:|' * len(earlier)}"]
    for a, b in itertools.combinations(METHODS, 2):
        cells = []
        for step in earlier:
            formula = {
                lengths[a][last]: 1.0,
                lengths[a][step]: -1.0,
                lengths[b][last]: -1.0,
                lengths[b][step]: 1.0,
            }
            cells.append(in_words(over_axes(scores, ways, dict.fromkeys(EXPERTS, formula))))
        lines.append(f"| {a} − {b} | {' | '.join(cells)} |")
    return "\n".join(lines)


def choices(runs: Sequence[SeedRun], lengths: Lengths) -> dict[str, str]:
    """Return in words which lengths won on development items, by method."""
    found = {}
    for method in METHODS:
        step_of = {model: step for step, model in lengths[method].items()}
        winners = [read_json(run.folders[f"select/{method}"] / CHOICE)["winner"] for run in runs]
        steps = sorted(step_of[winner] for winner in winners)
        found[method] = ", ".join(
            f"{step} ({len([*same])} of {len(runs)})" for step, same in itertools.groupby(steps)
        )
    return found


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=5)
    parser.add_argument("--table", action="store_true", help="only read finished steps")
    asked = parser.parse_args()
    if not asked.table:
        run_seeds(STUDY, asked)
    runs = read_seeds(STUDY, asked.root, asked.seeds)
    study = runs[0].study
    lengths = study.by_length()
    models = [BASE, *dict.fromkeys(name for own in lengths.values() for name in own.values())]
    try:
        require_all(runs, models)
    except DataError as error:
        sys.exit(str(error))
    scores, ways = scores_of(list(runs), models), directions(study.evaluate)
    show(asked.docs, "lengths", gains(scores, ways, lengths, choices(runs, lengths)))
    show(asked.docs, "changes", changes(scores, ways, lengths))


if __name__ == "__main__":
    main()
