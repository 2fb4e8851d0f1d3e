"""A newcomer's objective: one file and one registration line, and it trains like any other."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.files import read_rows
from mixmerge.study.spec_file import parse_spec
from mixmerge.testbed.model import write_model
from mixmerge.training import TrainJob
from mixmerge.training.objectives import OBJECTIVES
from mixmerge.training.objectives.objective import Objective
from mixmerge.training.report import CurvePoint
from mixmerge.training.run import train

PAGE = Path(__file__).parents[2] / "docs" / "train.md"
JOB = """
model: {model}
rows: {rows}
settings: {{method: apo_zero, beta: 2.5, learning_rate: 1e-3, max_steps: 2, batch_size: 4}}
placement: {{device: cpu, per_device_batch: 2}}
"""


@pytest.fixture(autouse=True)
def apo_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objective:
    """The file on the page about training, and its one line of registration."""
    text = PAGE.read_text(encoding="utf-8").split("## Adding an objective")[1]
    (tmp_path / "apo_zero.py").write_text(text.split("```python\n")[1].split("```")[0])
    made: Objective = runpy.run_path(str(tmp_path / "apo_zero.py"))["OBJECTIVE"]
    monkeypatch.setitem(OBJECTIVES, made.name, made)
    return made


def test_it_trains(tmp_path: Path, rows_for: Callable[[str, int], Path]) -> None:
    """From a file like any user's to a trained model, beginning at the loss of its paper."""
    base, rows = tmp_path / "base", rows_for("kto", 4)
    write_model(base)
    job = parse_spec(JOB.format(model=base, rows=rows), TrainJob, "job.yaml")
    out = tmp_path / "out"
    report = train(job.settings, model=job.model, rows=job.rows, out=out, placement=job.placement)
    assert (report.method, report.steps, report.reference_reused) == ("apo_zero", 2, False)
    assert report.first_loss == pytest.approx(0.5, abs=1e-4)  # sigmoid(0), of every answer
    assert [point.step for point in read_rows(out / "curve.jsonl", CurvePoint)] == [1, 2]
    before, after = (
        (folder / "model.safetensors").read_bytes() for folder in (base, out / "model")
    )
    assert before != after
    assert "APO-zero of base" in (out / "model" / "README.md").read_text()


def test_its_settings_are_checked(apo_zero: Objective) -> None:
    """Its own keys are known, checked and in the schema; others are refused at their line."""
    text = JOB.format(model="m", rows="r")
    assert (
        TrainJob.model_json_schema()["$defs"]["TrainSpec"]["properties"]["good_weight"]["minimum"]
        == 0
    )
    with pytest.raises(
        SpecError, match=r"line 4: settings\.good_wieght: unknown key.*mean `good_weight`\?"
    ):
        parse_spec(text.replace("beta: 2.5", "good_wieght: 1"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match=r"line 4: settings\.beta: .*greater than 0"):
        parse_spec(text.replace("beta: 2.5", "beta: 0"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match="`good_weight` belongs to `method: apo_zero`"):
        parse_spec(text.replace("apo_zero, beta: 2.5", "dpo, good_weight: 1"), TrainJob, "job.yaml")
    assert (apo_zero.stage, apo_zero.label) == ("apo_zero", "APO-zero")
    assert OBJECTIVES["dpo"].label == "DPO"
