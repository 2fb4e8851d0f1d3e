"""Tests of paper.lengths: how long to train experts that are to be merged, over seeds."""

from pathlib import Path

from paper.lengths import EXPERTS, METHODS, STUDY, changes, choices, gains
from paper.seeds import SeedRun
from tests.paper.test_arms import scores

from mixmerge.files import write_json
from mixmerge.study.check import read_study

WAYS = {"general": 1, "safety": -1, "months": 1}
LENGTHS = {
    name: {50: f"{name}-50", 100: f"{name}-100", 400: f"{name}-400"}
    for name in (*EXPERTS, *METHODS)
}
SAME = (0.5, 0.0, 0.5, 0.5)
BETTER = (0.6, 0.0, 0.4, 0.6)
"""By 10 points on each of the three objectives."""


def world(**of: tuple[float, ...]) -> dict[str, tuple[float, ...]]:
    """Return the rates of all models: those given (``-`` is ``_``), and the base's elsewhere."""
    names = ["base", *(name for own in LENGTHS.values() for name in own.values())]
    return {name: of.get(name.replace("-", "_"), SAME) for name in names}


def test_gains_are_means_over_the_objectives() -> None:
    """Each expert counts on its own axis, a merge on all three; less harm is a gain."""
    rates = world(general_400=BETTER, safety_400=BETTER, months_400=BETTER, ties_100=BETTER)
    table = gains(scores(rates), WAYS, LENGTHS, {"ties": "100 (4 of 4)"}).splitlines()
    assert table[0] == "| points over the base model | 50 steps | 100 steps | 400 steps | chosen |"
    experts, linear, ties, _ = (row.strip("| ").split(" | ") for row in table[2:])
    assert [cell.split(" ")[0] for cell in experts[1:]] == ["0.0", "0.0", "+10.0", "–"]
    assert [cell.split(" ")[0] for cell in linear[1:]] == ["0.0", "0.0", "0.0", "–"]
    assert [cell.split(" ")[0] for cell in ties[1:4]] == ["0.0", "+10.0", "0.0"]
    assert ties[4] == "100 (4 of 4)"


def test_a_method_that_wants_shorter_training_has_a_negative_difference() -> None:
    """Linear loses 10 points from step 100 to step 400, and TIES nothing."""
    table = changes(scores(world(linear_100=BETTER)), WAYS, LENGTHS).splitlines()
    assert table[0] == "| difference of changes | 50 to 400 steps | 100 to 400 steps |"
    against_ties, against_dare, others = (row.strip("| ").split(" | ") for row in table[2:])
    assert against_ties[0] == "linear − ties"
    assert [cell.split(" ")[0] for cell in against_ties[1:]] == ["0.0", "−10.0"]
    assert [cell.split(" ")[0] for cell in against_dare[1:]] == ["0.0", "−10.0"]
    assert [cell.split(" ")[0] for cell in others[1:]] == ["0.0", "0.0"]


def test_choices_are_counted_over_seeds(tmp_path: Path) -> None:
    """Two seeds chose 50 steps and one 400."""
    study = read_study(STUDY)
    runs = []
    for seed, step in enumerate((400, 50, 50)):
        folders = {}
        for method in METHODS:
            folder = folders[f"select/{method}"] = tmp_path / f"{seed}-{method}"
            folder.mkdir()
            write_json(folder / "selection.json", {"winner": f"{method}-{step}"})
        runs.append(SeedRun(seed, study, folders, 0.0))
    assert choices(runs, LENGTHS) == dict.fromkeys(METHODS, "50 (2 of 3), 400 (1 of 3)")


def test_the_example_has_the_methods_and_experts_of_the_tables() -> None:
    """Every method and expert has models after the same lengths, and an axis of its own."""
    study = read_study(STUDY)
    lengths = study.by_length()
    assert {tuple(lengths[name]) for name in (*METHODS, *EXPERTS)} == {(50, 100, 200, 400)}
    assert set(EXPERTS) <= set(study.evaluate.axes)
