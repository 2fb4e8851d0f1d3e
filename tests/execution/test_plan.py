"""Tests of mixmerge.execution.plan."""

from pathlib import Path

from mixmerge.execution.plan import plan
from mixmerge.execution.step import Step
from mixmerge.execution.store import Store
from mixmerge.files import write_json


def finish(store: Store, step: Step) -> None:
    """Pretend that a step without inputs is done."""
    key = store.key(step, {})
    folder = store.place(step, key, {})
    write_json(
        folder / "record.json", {"key": key, "output": "f" * 64, "contents": {}, "facts": {}}
    )


def test_a_new_study_is_all_to_do(tmp_path: Path) -> None:
    """Without a run folder every step is to do and nothing is created."""
    steps = [Step("a", "x"), Step("a", "y", inputs={"in": "a/x"})]
    assert [item.state for item in plan(steps, Store(tmp_path / "none"))] == ["to do", "to do"]
    assert not (tmp_path / "none").exists()


def test_a_change_is_explained(tmp_path: Path) -> None:
    """A finished step whose setting changed says which, from what, to what."""
    store = Store(tmp_path)
    finish(store, Step("merge", "m", {"models": {"a": {"weight": 0.3}}}))
    (item,) = plan([Step("merge", "m", {"models": {"a": {"weight": 0.5}}})], store)
    assert (item.state, item.reason) == ("out of date", "models.a.weight changed 0.3 → 0.5")


def test_done_steps_are_recognised(tmp_path: Path) -> None:
    """A step with its record is done and has its folder."""
    store, step = Store(tmp_path), Step("mix", "m", by_output=True)
    finish(store, step)
    behind = Step("train", "t", inputs={"rows": "mix/m"})
    first, second = plan([step, behind], store)
    assert (first.state, second.state) == ("done", "to do")
    assert first.folder is not None
