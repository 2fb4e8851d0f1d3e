"""Mix or merge at equal harm, in every world of the testbed and by the share of contrasts.

    python -m paper.worlds runs/paper --seeds 10 --docs docs/results.md

runs the SFT and the DPO models of ``paper/studies/objective.yaml``, the SFT models of its two other
worlds, and ``contrasts.yaml``, once for every seed in the folders of ``python -m paper``, whose
steps are reused.
``--table`` only reads finished steps: of each study, the first seeds that are complete.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from benchmarks.page import show

from mixmerge.reporting.figures import style, to_svg
from mixmerge.reporting.formats import percent
from mixmerge.stats.bootstrap import Floats
from mixmerge.study.check import read_study
from mixmerge.study.checkpoints import Merged
from mixmerge.study.spec import BASE, Study
from paper.accept import BOUNDS
from paper.collect import scores_of
from paper.matched import AtLevel, Comparison, compare
from paper.published import METHODS
from paper.scores import Scores
from paper.seeds import SeedRun, arguments, read_run, run_seeds
from paper.values import in_words
from paper.world_figures import flip, plane
from paper.write import FOLDER

STUDIES = Path("paper/studies")
WORLDS = {
    "aligned": "objective",
    "aligned, DPO": "objective",
    "conflict": "objective-conflict",
    "cliff": "objective-cliff",
}
"""Each world's study; the stage is SFT where nothing is said."""
SHARES = (0, 12, 24, 36, 48)
"""Percent of harmless contrasts in the safety data of `contrasts.yaml`."""


def study_of(world: str) -> Path:
    """Return the study file of a world, or of `contrasts`."""
    return STUDIES / f"{WORLDS.get(world, world)}.yaml"


def models(study: Study, wanted: Sequence[str]) -> list[str]:
    """Return the base and the checkpoints with this prefix, including all merges of sweeps."""
    found = [BASE]
    for name, checkpoint in study.checkpoints.items():
        if name.startswith(tuple(wanted)):
            swept = isinstance(checkpoint, Merged) and checkpoint.sweep is not None
            found += study.swept(name) if swept else [name]
    return found


def stage_of(world: str) -> str:
    """Return the stage whose models are compared, with which their names begin."""
    return "dpo" if world.endswith("DPO") else "sft"


def asked(world: str) -> list[str]:
    """Return the models to compare in a world; in `aligned` the chosen merges, too."""
    own = (f"{stage_of(world)}-",)
    starts = own if world in WORLDS else ("sft-0", "only-", "mix-", "linear-", "ties-")
    chosen = [f"sft-{method}" for method in METHODS] if world == "aligned" else []
    return models(read_study(study_of(world)), starts) + chosen


def complete(world: str, root: Path, seeds: int) -> list[SeedRun]:
    """Return the first seeds of a world in which every model is judged."""
    found: list[SeedRun] = []
    for seed in range(seeds):
        run = read_run(study_of(world), root / f"seed-{seed}", seed)
        if not set(asked(world)) <= set(run.judged()):
            break
        found.append(run)
    return found


def paths(world: str) -> dict[str, list[str]]:
    """Return the merges of each method, from the smallest to the largest weight."""
    study = read_study(study_of(world))
    return {method: [*study.swept(f"{stage_of(world)}-{method}")] for method in METHODS}


def in_world(world: str, scores: Scores) -> list[Comparison]:
    """Compare each method, and all four together, with the mix."""
    own_paths, mix = paths(world), f"{stage_of(world)}-15"
    rows = {method: [path] for method, path in own_paths.items()}
    rows |= {"all four": [*own_paths.values()]}
    return [compare(world, method, scores, own, mix) for method, own in rows.items()]


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


def preconditions(found: Mapping[str, Scores]) -> str:
    """Return a table of the experts and the mix of each world, with their bounds."""
    lines = [
        "| world | model | win rate | harm against the base | over-refusal | seeds within |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for world, scores in found.items():
        for model in (f"{stage_of(world)}-{share}" for share in (0, 15, 100)):
            seen = {what: _by_seed(scores, what, model) for what in ("win", "harm", "over-refusal")}
            cells = [f"{percent(own.mean())} ({_range(own)})" for own in seen.values()]
            lines.append(f"| {world} | {model} | {' | '.join(cells)} | {_within(model, seen)} |")
    return "\n".join(lines)


def _by_seed(scores: Scores, what: str, model: str) -> Floats:
    if what == "harm":
        own, base = (scores.by_seed("safety", {name: 1.0}) for name in (model, scores.base))
        return np.asarray(own / base - 1)
    return scores.by_seed({"win": "general", "over-refusal": "over_refusal"}[what], {model: 1.0})


def _range(values: Floats) -> str:
    return f"{percent(values.min())} to {percent(values.max())}"


def _within(model: str, seen: Mapping[str, Floats]) -> str:
    if model not in BOUNDS:
        return "–"
    inside = [
        (least <= seen[what]) & (seen[what] <= most)
        for what, (least, most) in BOUNDS[model].items()
    ]
    met = np.logical_and.reduce(inside)
    return f"{met.sum()} of {len(met)}"


def chosen_points(scores: Scores) -> str:
    """Return a table of the merges at their chosen weights against the mix, and all four."""
    lines = [
        "| merges | win rate − mix | harm − mix | over-refusal − mix | SLERP's balance − theirs |",
        "|---|---:|---:|---:|---:|",
    ]
    for method in (*METHODS, "all four"):
        names = [f"sft-{each}" for each in METHODS if method in (each, "all four")]
        mean = {name: 1 / len(names) for name in names} | {"sft-15": -1.0}
        cells = [
            in_words(scores.estimate(axis, mean)) for axis in ("general", "safety", "over_refusal")
        ]
        against = {"sft-slerp": 1.0, f"sft-{method}": -1.0}
        apart = method not in ("slerp", "all four")
        cells.append(in_words(scores.balance(against)) if apart else "–")
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def steepest(scores: Scores, path: Mapping[float, str]) -> dict[str, float]:
    """Return the largest share of the whole drop, by axis, within one step of 0.1 in weight.

    Means over seeds.

    Args:
        scores: of all models.
        path: the merges by their weights, from 0 to 1.
    """
    found = {}
    for what, axis in (("win rate", "general"), ("harm rate", "safety")):
        values = np.array([scores.by_seed(axis, {name: 1.0}).mean() for name in path.values()])
        falls = -np.diff(values) / np.diff([*path]) / 10
        found[what] = float(falls.max() / (values[0] - values[-1]))
    return found


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=10)
    parser.add_argument("--worlds", nargs="+", default=[*WORLDS, "contrasts"])
    parser.add_argument("--table", action="store_true", help="only read finished steps")
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
    worlds = {world: scores for world, scores in found.items() if world in WORLDS}
    if worlds:
        show(given.docs, "preconditions", preconditions(worlds))
        rows = [row for world, scores in worlds.items() for row in in_world(world, scores)]
        show(given.docs, "worlds", markdown(rows, "world"))
    drawn = []
    if "aligned" in found:
        own_paths = paths("aligned")
        drawn.append(plane(found["aligned"], own_paths))
        show(given.docs, "chosen", chosen_points(found["aligned"]))
        weights = (float(name.removeprefix("sft-linear-")) for name in own_paths["linear"])
        path = dict(zip(weights, own_paths["linear"], strict=True))
        steps = steepest(found["aligned"], path)
        print(f"largest part of the whole fall in a step of 0.1, linear: {steps}")
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
