"""Mix, merge or distil, over seeds: the answers of `examples/arms.yaml`.

    python -m paper.arms runs/arms --seeds 5 --docs docs/results.md

runs the study once for every seed, each in a folder of its own, and writes two tables: every way
of bringing three objectives together against others at equal terms, and how much of what experts
gained their merges keep, for experts by SFT and by GRPO. ``--table`` only reads finished steps.
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
STUDENTS = ("student", "merged-student")
MIX = "mix"
PAIRS = [
    *((each, MIX) for each in (*MERGES, *STUDENTS, "rl-linear", "rl-arithmetic")),
    *((student, merge) for student in STUDENTS for merge in MERGES),
    ("merged-student", "small-merge"),
    ("rl-linear", "linear"),
    ("rl-arithmetic", "arithmetic"),
]
"""What is compared: to the mix, distilling to merging, a student to its start, RL to SFT merges."""
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


def over_objectives(scores: Scores, ways: Directions, models: Sequence[Formula]) -> Estimate:
    """Return the mean over the objectives of a difference on each one's own axis.

    Positive is better on every axis, so that the mean is one of improvements.

    Args:
        scores: of all models.
        ways: which way each axis is better.
        models: for each objective, in the order of `OF_OBJECTIVE`, the models with coefficients.
    """
    axes = [*OF_OBJECTIVE.values()]
    parts: dict[Axis, Formula] = {
        axis: {name: ways[axis] * share / len(axes) for name, share in formula.items()}
        for axis, formula in zip(axes, models, strict=True)
    }
    values = sum((scores.by_seed(axis, own) for axis, own in parts.items()), np.zeros(1))
    return scores.over_axes(parts, values)


def kept(scores: Scores, ways: Directions) -> str:
    """Return a table of what experts gain over their start, and what their merges lose of it.

    The last rows compare the two kinds of experts: the loss with GRPO minus the loss with SFT.
    """
    lines = ["| experts | merge | experts' gain | merge − experts |", "|---|---|---:|---:|"]
    lost: dict[str, dict[str, list[dict[str, float]]]] = {}
    for kind, (start, prefix) in EXPERTS.items():
        experts = [f"{prefix}{objective}" for objective in OF_OBJECTIVE]
        gain = over_objectives(scores, ways, [{each: 1.0, start: -1.0} for each in experts])
        lost[kind] = {
            method: [{f"{prefix}{method}": 1.0, each: -1.0} for each in experts] for method in BY
        }
        for method, change in lost[kind].items():
            loss = over_objectives(scores, ways, change)
            lines.append(f"| {kind} | {method} | {in_words(gain)} | {in_words(loss)} |")
    for method in BY:
        apart: list[Formula] = [
            rl | {name: -share for name, share in sft.items()}
            for rl, sft in zip(lost["GRPO"][method], lost["SFT"][method], strict=True)
        ]
        found = in_words(over_objectives(scores, ways, apart))
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
    show(asked.docs, "arms", against(scores, ways, evaluate.decide_on, PAIRS))
    show(asked.docs, "kept", kept(scores, ways))


if __name__ == "__main__":
    main()
