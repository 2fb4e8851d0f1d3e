"""Time of trainings and answers before any has run."""

import pytest

from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.study import speed
from mixmerge.study.memory import Device
from mixmerge.study.speed import guessed_seconds

BASE = Planned(Step("base", "base", {"from": "hub", "name": "org/m-1B"}), "to do")


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step has a GPU."""
    monkeypatch.setattr(speed, "device_of", lambda _: Device("the GPU here", 8e10, gpu=True))


def test_a_training_takes_six_operations_a_weight_and_token() -> None:
    """Four with LoRA, and on two devices half the time."""
    inputs = {"model": "base/base"}
    full = Planned(Step("train", "a", {"method": "sft"}, inputs), "to do")
    lora = Planned(Step("train", "b", {"method": "sft", "adapter": {}}, inputs), "to do")
    two = Planned(Step("train", "c", {}, inputs, placement={"devices": 2}), "to do")
    steps = {"base/base": BASE}
    seconds = [guessed_seconds(item, steps, 1e8, {}) for item in (full, lora, two)]
    assert seconds == pytest.approx([6e17 / 1e14, 4e17 / 1e14, 3e17 / 1e14])


def test_answers_read_every_weight_once_a_token_and_batch() -> None:
    """Unknown until the prompts are; other kinds of steps are never guessed."""
    prompts = Planned(
        Step("prompts", "q"),
        "to do",
        record={"facts": {"rows": 200, "clusters": 200, "machine_translated": 0}},
    )
    inputs = {"model": "base/base", "prompts:q": "prompts/q"}
    settings = {"max_new_tokens": 100}
    item = Planned(Step("generate", "a", settings, inputs, placement={"batch_size": 128}), "to do")
    steps = {"base/base": BASE, "prompts/q": prompts}
    assert guessed_seconds(item, steps, 0, {}) == pytest.approx(2 * 100 * 2e9 / 5e11)
    unknown = {**steps, "prompts/q": Planned(prompts.step, "to do")}
    assert guessed_seconds(item, unknown, 0, {}) is None
    assert guessed_seconds(BASE, steps, 0, {}) is None
