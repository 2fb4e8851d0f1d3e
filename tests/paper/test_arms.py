"""Tests of paper.arms: ways of bringing objectives together, over seeds."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from paper.arms import PAIRS, STUDY, against, directions, kept, over_objectives, require_all
from paper.scores import AxisTable, Scores
from paper.seeds import SeedRun

from mixmerge.errors import DataError
from mixmerge.study.check import read_study

AXES = ("general", "answered", "safety", "months")
WAYS = {"general": 1, "answered": 1, "safety": -1, "months": 1}


def scores(rates: Mapping[str, tuple[float, ...]], seeds: int = 4, questions: int = 40) -> Scores:
    """Scores with these means on `AXES`, and a little luck of every seed, model and question."""
    rng = np.random.default_rng(3)
    cluster, language = np.arange(questions), np.full(questions, "en")
    axes = {}
    for place, axis in enumerate(AXES):
        noise = {name: rng.normal(0, 1e-3, (seeds, questions)) for name in rates}
        axes[axis] = AxisTable(
            cluster,
            language,
            {name: own[place] + noise[name] - noise[name].mean() for name, own in rates.items()},
        )
    return Scores(axes)


def test_every_pair_is_of_models_of_the_example() -> None:
    """The table and the study agree on the names, and every objective has an axis of the study."""
    study = read_study(STUDY)
    assert {name for pair in PAIRS for name in pair} <= set(study.checkpoints)
    assert directions(study.evaluate) == WAYS | {"over_refusal": -1}


def test_a_model_that_is_better_on_one_axis_and_equal_on_others_beats() -> None:
    """Less harm at the same values elsewhere beats; the reverse loses."""
    world = scores({"mix": (0.5, 0.5, 0.4, 0.7), "merge": (0.5, 0.5, 0.2, 0.7)})
    decide_on = ["general", "safety", "months"]
    _, _, first, second = against(
        world, WAYS, decide_on, [("merge", "mix"), ("mix", "merge")]
    ).splitlines()
    assert first.startswith("| merge | mix | 0.0 (")
    assert " −20.0 (" in first
    assert first.endswith("| beats |")
    assert second.endswith("| loses |")


def test_improvements_count_the_same_on_axes_where_less_is_better() -> None:
    """10 points more right, 20 less harm and 30 more of the months are 20 better on average."""
    world = scores({"a": (0, 0.4, 0.5, 0.2), "b": (0, 0.5, 0.3, 0.5)})
    found = over_objectives(world, WAYS, [{"b": 1.0, "a": -1.0}] * 3)
    assert found.value == pytest.approx(0.2)
    assert found.low < 0.2 < found.high
    assert found.high - found.low < 0.01


def test_merges_are_measured_by_what_they_lose_of_the_experts() -> None:
    """SFT merges that lose 30 points of experts and GRPO merges that lose 10 are 20 apart."""
    base, warm = (0.5, 0.2, 0.8, 0.0), (0.5, 0.3, 0.6, 0.4)
    expert = (0.5, 0.8, 0.2, 0.6)  # all three experts alike, each read on its own axis only
    rl_expert = (0.5, 0.5, 0.4, 0.6)
    rates = {"base": base, "warm": warm}
    rates |= dict.fromkeys(("general", "safety", "months"), expert)
    rates |= {f"rl-{name}": rl_expert for name in ("general", "safety", "months")}
    rates |= dict.fromkeys(("linear", "arithmetic"), (0.5, 0.5, 0.5, 0.3))
    rates |= {f"rl-{name}": (0.5, 0.4, 0.5, 0.5) for name in ("linear", "arithmetic")}
    rows = kept(scores(rates), WAYS).splitlines()[2:]
    assert [row.split(" | ")[:2] for row in rows] == [
        [f"| {kind}", method]
        for kind in ("SFT", "GRPO", "GRPO − SFT")
        for method in ("linear", "arithmetic")
    ]
    assert all("| +60.0 (" in row and "| −30.0 (" in row for row in rows[:2])
    assert all("| +20.0 (" in row and "| −10.0 (" in row for row in rows[2:4])
    assert all("| – | +20.0 (" in row for row in rows[4:])


def test_a_model_without_verdicts_in_some_seed_is_named() -> None:
    """The error gives how many are missing, the first, and what goes on with the runs."""
    study = read_study(STUDY)
    runs = [SeedRun(0, study, {"judge/mix": Path(), "judge/ties": Path()}, 0.0)]
    runs.append(SeedRun(1, study, {"judge/mix": Path()}, 0.0))
    require_all(runs, ["mix"])
    with pytest.raises(DataError, match=r"^1 models are not judged in every seed.*`ties`.*--table"):
        require_all(runs, ["mix", "ties"])
