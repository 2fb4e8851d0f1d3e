"""Mix or merge at the same price, in every world of the testbed, and along the share of contrasts.

    python -m paper.worlds runs/paper --seeds 10 --docs docs/results.md

runs the SFT models of ``paper/studies/objective.yaml`` and its two other worlds, and of
``contrasts.yaml``, once for every seed in the folders of ``python -m paper``, whose steps are
reused.
``--table`` only reads what is done: of each study, the first seeds that are complete.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.page import show

from mixmerge.reporting.figures import style, to_svg
from mixmerge.study.check import read_study
from mixmerge.study.spec import BASE, Merged, Study
from paper.collect import scores_of
from paper.matched import AtLevel, Comparison, compare
from paper.published import METHODS
from paper.scores import Scores
from paper.seeds import SeedRun, arguments, read_run, run_seeds
from paper.values import in_words
from paper.world_figures import flip, plane
from paper.write import FOLDER

STUDIES = Path("paper/studies")
WORLDS = {"aligned": "objective", "conflict": "objective-conflict", "cliff": "objective-cliff"}
"""Each world's study."""
SHARES = (0, 12, 24, 36, 48)
"""Percent of harmless contrasts in the safety data of `contrasts.yaml`."""


def study_of(world: str) -> Path:
    """Return the study file of a world, or of `contrasts`."""
    return STUDIES / f"{WORLDS.get(world, world)}.yaml"


def models(study: Study, wanted: Sequence[str]) -> list[str]:
    """Return the base and the checkpoints whose names begin so, sweeps with all of their merges."""
    found = [BASE]
    for name, checkpoint in study.checkpoints.items():
        if name.startswith(tuple(wanted)):
            swept = isinstance(checkpoint, Merged) and checkpoint.sweep is not None
            found += study.swept(name) if swept else [name]
    return found


def asked(world: str) -> list[str]:
    """Return the models that are compared in a world; none of them is chosen."""
    starts = ("sft-",) if world in WORLDS else ("sft-0", "only-", "mix-", "linear-", "ties-")
    return models(read_study(study_of(world)), starts)


def complete(world: str, root: Path, seeds: int) -> list[SeedRun]:
    """Return the first seeds of a world in which every model is judged."""
    found: list[SeedRun] = []
    for seed in range(seeds):
        run = read_run(study_of(world), root / f"seed-{seed}", seed)
        if not set(asked(world)) <= set(run.judged()):
            break
        found.append(run)
    return found


def paths(study: Study) -> dict[str, list[str]]:
    """Return the merges of each method after SFT, from the smallest to the largest weight."""
    return {method: [*study.swept(f"sft-{method}")] for method in METHODS}


def in_world(world: str, scores: Scores) -> list[Comparison]:
    """Compare each method, and all four together, with the mix."""
    own_paths = paths(read_study(study_of(world)))
    rows = {method: [path] for method, path in own_paths.items()}
    rows |= {"all four": [*own_paths.values()]}
    return [compare(world, method, scores, own, "sft-15") for method, own in rows.items()]


def along_contrasts(scores: Scores) -> list[Comparison]:
    """Compare both methods with the mix, at every share of contrasts."""
    study = read_study(study_of("contrasts"))
    return [
        compare(f"{share} %", m, scores, [[*study.swept(f"{m}-{share}")]], f"mix-{share}")
        for share in SHARES
        for m in ("linear", "ties")
    ]


def markdown(rows: Sequence[Comparison], first: str) -> str:
    """Return a table with a row for each comparison."""
    lines = [
        f"| {first} | merges | win rate − mix | over-refusal − mix | together | seeds |",
        "|---|---|---:|---:|---|---:|",
    ]
    for row in rows:
        cells = [_cell(row.win), _cell(row.over_refusal), row.decision or "–", str(row.win.seeds)]
        lines.append(f"| {row.where} | {row.method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: AtLevel) -> str:
    if found.difference is None:
        return f"the mix's harm is reached in {found.reached} of {found.seeds} seeds"
    return in_words(found.difference)


def main() -> None:
    """Read the command line."""
    parser = arguments(__doc__, seeds=10)
    parser.add_argument("--worlds", nargs="+", default=[*WORLDS, "contrasts"])
    parser.add_argument("--table", action="store_true", help="only read what is done")
    given = parser.parse_args()
    found: dict[str, Scores] = {}
    for world in given.worlds:
        if not given.table:
            run_seeds(study_of(world), given, [f"judge/{name}" for name in asked(world)])
        runs = complete(world, given.root, given.seeds)
        if runs:
            found[world] = scores_of(runs, asked(world))
    if not found:
        sys.exit("no seed of any world is complete yet: the same command without --table goes on.")
    in_worlds = [row for world in found if world in WORLDS for row in in_world(world, found[world])]
    show(given.docs, "worlds", markdown(in_worlds, "world"))
    drawn = []
    if "aligned" in found:
        drawn.append(plane(found["aligned"], paths(read_study(study_of("aligned")))))
    if "contrasts" in found:
        rows = along_contrasts(found["contrasts"])
        show(given.docs, "contrasts", markdown(rows, "contrasts"))
        drawn.append(flip(rows, SHARES))
    folder = given.docs.parent / FOLDER if given.docs else given.root / "worlds"
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        for drawing in drawn:
            (folder / f"{drawing.name}.svg").write_text(to_svg(drawing.figure), encoding="utf-8")
            print(f"{folder / drawing.name}.svg: {drawing.alt} {drawing.caption}")


if __name__ == "__main__":
    main()
