"""Mix, merge or distil, over seeds: the answers of `examples/arms.yaml`.

    python -m paper.arms runs/arms --seeds 5 --docs docs/results.md

runs the study once for every seed, each in a folder of its own, and writes three tables: every
way of bringing three objectives together against the mix; students and merges against merges; and
how much of what experts gained their merges keep, for experts by SFT and by GRPO. ``--table`` only
reads finished steps.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from benchmarks.page import show

from mixmerge.errors import DataError
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.records import Axis
from mixmerge.stats.decision import decide
from mixmerge.stats.estimate import Estimate
from paper.claims import compared
from paper.collect import scores_of
from paper.scores import Formula, Scores
from paper.seeds import SeedRun, arguments, not_judged, read_seeds, run_seeds
from paper.values import in_words

STUDY = Path("examples/arms.yaml")
MERGES = ("linear", "arithmetic", "ties", "dare")
STUDENTS = ("student", "merged-student", "taught-student")
MIX = "mix"
AGAINST_MIX = [(each, MIX) for each in (*MERGES, *STUDENTS, "rl-linear", "rl-arithmetic")]
AGAINST_MERGES = [
    *((student, merge) for student in STUDENTS for merge in MERGES),
    ("merged-student", "small-merge"),
    ("rl-linear", "linear"),
    ("rl-arithmetic", "arithmetic"),
]
"""Distilling against merging, a student against its start, merges of RL experts against SFT's."""
OF_OBJECTIVE = {"general": "answered", "safety": "safety", "months": "months"}
"""The axis that an expert is trained for. GRPO's reward for general questions is a right answer, so
this axis and not the win rate says what that expert gained."""
EXPERTS = {"SFT": ("base", ""), "GRPO": ("warm", "rl-")}
"""How experts learned: the model that they start from, and the beginning of their names."""
BY = ("linear", "arithmetic")
"""The merges of which there is one of both kinds of experts."""

Directions = Mapping[Axis, int]
"""By axis, 1 where more is better and -1 where less is."""


def directions(evaluate: EvaluateSpec) -> dict[Axis, int]:
    """Return which way every axis of a study is better."""
    return {axis: 1 if spec.better == "higher" else -1 for axis, spec in evaluate.axes.items()}


def against(
    scores: Scores, ways: Directions, decide_on: Sequence[Axis], pairs: Sequence[tuple[str, str]]
) -> str:
    """Return a table of paired differences, with the decision over all deciding axes.

    Args:
        scores: of all models.
        ways: which way each axis is better.
        decide_on: the deciding axes, one column each.
        pairs: the models to compare, the second is subtracted from the first.
    """
    lines = [
        f"| model | against | {' | '.join(decide_on)} | together |",
        f"|---|---|{'---:|' * len(decide_on)}---|",
    ]
    for model, other in pairs:
        found = [scores.estimate(axis, {model: 1.0, other: -1.0}) for axis in decide_on]
        decision = decide(
            compared(each, ways[axis]) for axis, each in zip(decide_on, found, strict=True)
        )
        cells = " | ".join(in_words(each) for each in found)
        lines.append(f"| {model} | {other} | {cells} | {decision} |")
    return "\n".join(lines)


def over_axes(scores: Scores, ways: Directions, formulas: Mapping[Axis, Formula]) -> Estimate:
    """Return the mean over axes of a difference on each.

    Positive is better on every axis, so that the mean is one of improvements.

    Args:
        scores: of all models.
        ways: which way each axis is better.
        formulas: by axis, the models with their coefficients.
    """
    parts: dict[Axis, Formula] = {
        axis: {name: ways[axis] * share / len(formulas) for name, share in formula.items()}
        for axis, formula in formulas.items()
    }
    values = sum((scores.by_seed(axis, own) for axis, own in parts.items()), np.zeros(1))
    return scores.over_axes(parts, values)


def kept(scores: Scores, ways: Directions) -> str:
    """Return a table of what experts gain over their start, and what their merges lose of it.

    The last rows compare the two kinds of experts: the loss with GRPO minus the loss with SFT.
    """
    lines = ["| experts | merge | experts' gain | merge − experts |", "|---|---|---:|---:|"]
    lost: dict[str, dict[str, dict[Axis, dict[str, float]]]] = {}
    for kind, (start, prefix) in EXPERTS.items():
        experts = {axis: f"{prefix}{objective}" for objective, axis in OF_OBJECTIVE.items()}
        gained: dict[Axis, Formula] = {a: {own: 1.0, start: -1.0} for a, own in experts.items()}
        gain = over_axes(scores, ways, gained)
        lost[kind] = {
            method: {axis: {f"{prefix}{method}": 1.0, own: -1.0} for axis, own in experts.items()}
            for method in BY
        }
        for method, change in lost[kind].items():
            loss = over_axes(scores, ways, change)
            lines.append(f"| {kind} | {method} | {in_words(gain)} | {in_words(loss)} |")
    for method in BY:
        sft = lost["SFT"][method]
        apart: dict[Axis, Formula] = {
            axis: rl | {name: -share for name, share in sft[axis].items()}
            for axis, rl in lost["GRPO"][method].items()
        }
        found = in_words(over_axes(scores, ways, apart))
        lines.append(f"| GRPO − SFT | {method} | – | {found} |")
    return "\n".join(lines)


def require_all(runs: Sequence[SeedRun], models: Sequence[str]) -> None:
    """Check that every model has verdicts in every seed.

    Raises:
        DataError: some have none; the message gives their number and the first.
    """
    missing = [name for name in models if any(name not in run.judged() for run in runs)]
    if missing:
        raise not_judged(missing, str(len(missing)))


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=5)
    parser.add_argument("--table", action="store_true", help="only read finished steps")
    asked = parser.parse_args()
    if not asked.table:
        run_seeds(STUDY, asked)
    runs = read_seeds(STUDY, asked.root, asked.seeds)
    evaluate = runs[0].study.evaluate
    models = ["base", *runs[0].study.checkpoints]
    try:
        require_all(runs, models)
    except DataError as error:
        sys.exit(str(error))
    scores, ways = scores_of(list(runs), models), directions(evaluate)
    for section, pairs in (("arms", AGAINST_MIX), ("arms-merges", AGAINST_MERGES)):
        show(asked.docs, section, against(scores, ways, evaluate.decide_on, pairs))
    show(asked.docs, "kept", kept(scores, ways))


if __name__ == "__main__":
    main()
