"""A world is accepted by its base and experts, and the protocol names the one that was."""

from pathlib import Path

from paper.accept import BOUNDS, STUDY, outside, world_hash

from mixmerge.study.check import read_study
from mixmerge.study.checkpoints import Trained

ROOT = Path(__file__).parents[2]


def test_only_what_is_outside_of_its_bounds_is_said() -> None:
    """Values in the middle pass; one beyond a bound is named with the bound."""
    middle = {
        model: {what: (least + most) / 2 for what, (least, most) in bounds.items()}
        for model, bounds in BOUNDS.items()
    }
    assert outside(middle) == []
    middle["sft-100"]["over-refusal"] = 0.21
    assert outside(middle) == ["sft-100: over-refusal +0.210 is not in +0.00 to +0.20"]


def test_the_study_of_acceptance_has_experts_only_and_no_test_item() -> None:
    """What accepts a world runs no mix and no merge, and reads development items."""
    study = read_study(ROOT / STUDY)
    assert all(isinstance(each, Trained) for each in study.checkpoints.values())
    assert all(len(mixture.shares) == 1 for mixture in study.mixtures.values())
    assert {axis.prompts.split for axis in study.evaluate.judged.values()} == {"dev"}


def test_the_protocol_names_the_world_that_ships() -> None:
    """Rows, prompts and weights are those whose hash was written down before any arm ran."""
    assert f"`{world_hash()}`" in (ROOT / "paper" / "protocol.md").read_text(encoding="utf-8")
