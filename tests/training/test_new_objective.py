"""A newcomer's objective: one file and one registration line, and it trains like any other."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.files import read_rows
from mixmerge.records import PreferencePair
from mixmerge.study.spec_file import parse_spec
from mixmerge.testbed.model import write_model
from mixmerge.training import TrainJob
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives import OBJECTIVES
from mixmerge.training.objectives.objective import Objective
from mixmerge.training.report import CurvePoint
from mixmerge.training.run import train

PAGE = Path(__file__).parents[2] / "docs" / "train.md"
JOB = """
model: {model}
rows: {rows}
settings: {{method: simpo, beta: 2.5, learning_rate: 1e-3, max_steps: 2, batch_size: 4}}
placement: {{device: cpu, per_device_batch: 2}}
"""


@pytest.fixture(autouse=True)
def simpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objective:
    """The file on the page about training, and its one line of registration."""
    text = PAGE.read_text(encoding="utf-8").split("## Adding an objective")[1]
    (tmp_path / "simpo.py").write_text(text.split("```python\n")[1].split("```")[0])
    made: Objective = runpy.run_path(str(tmp_path / "simpo.py"))["OBJECTIVE"]
    monkeypatch.setitem(OBJECTIVES, made.name, made)
    return made


def simpo_loss(folder: Path, rows: list[PreferencePair], beta: float, gamma: float) -> float:
    """Equation 6 of the paper for the untrained model, one pair at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    encoded = Encoder(AutoTokenizer.from_pretrained(folder), "it").pairs(rows).columns
    found = []
    for prompt, *answers in zip(*encoded.values(), strict=True):
        means = []
        for answer in answers:
            ids = torch.tensor([prompt + answer])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, :-1]
            by_token = logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[len(prompt) - 1 :]
            means.append(by_token.mean())
        margin = beta * (means[0] - means[1]) - gamma
        found.append(-torch.nn.functional.logsigmoid(margin))
    return float(torch.stack(found).mean())


def test_it_trains(tmp_path: Path, pairs: Callable[[int], Path]) -> None:
    """From a file like any user's to a trained model, beginning at the loss of its paper."""
    base, rows = tmp_path / "base", pairs(4)
    write_model(base)
    job = parse_spec(JOB.format(model=base, rows=rows), TrainJob, "job.yaml")
    out = tmp_path / "out"
    report = train(job.settings, model=job.model, rows=job.rows, out=out, placement=job.placement)
    assert (report.method, report.steps, report.reference_reused) == ("simpo", 2, None)
    expected = simpo_loss(base, read_rows(rows, PreferencePair), 2.5, 1.0)
    assert report.first_loss == pytest.approx(expected, abs=1e-4)
    assert read_rows(out / "curve.jsonl", CurvePoint)[-1].accuracy is not None
    before, after = (
        (folder / "model.safetensors").read_bytes() for folder in (base, out / "model")
    )
    assert before != after
    assert "SimPO of base" in (out / "model" / "README.md").read_text()


def test_its_settings_are_checked(simpo: Objective) -> None:
    """Its own keys are known, checked and in the schema; others are refused at their line."""
    text = JOB.format(model="m", rows="r")
    assert TrainJob.model_json_schema()["$defs"]["TrainSpec"]["properties"]["gamma"]["minimum"] == 0
    with pytest.raises(SpecError, match=r"line 4: settings\.gama: unknown key.*mean `gamma`\?"):
        parse_spec(text.replace("beta: 2.5", "gama: 1"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match=r"line 4: settings\.beta: .*greater than 0"):
        parse_spec(text.replace("beta: 2.5", "beta: 0"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match="`gamma` belongs to `method: simpo`"):
        parse_spec(text.replace("simpo, beta: 2.5", "dpo, gamma: 1"), TrainJob, "job.yaml")
    assert (simpo.stage, simpo.label, OBJECTIVES["dpo"].label) == ("simpo", "SimPO", "DPO")
