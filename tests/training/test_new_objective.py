"""A newcomer's objective: one file and one registration line, and it trains like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from mixmerge.errors import SpecError
from mixmerge.files import read_rows
from mixmerge.records import PreferencePair
from mixmerge.study.spec_file import parse_spec
from mixmerge.testbed.model import write_model
from mixmerge.training import TrainJob
from mixmerge.training.encode import Encoder
from mixmerge.training.objectives import OBJECTIVES
from mixmerge.training.objectives.objective import Objective, Settings
from mixmerge.training.report import CurvePoint
from mixmerge.training.run import train


# What the file of a newcomer would hold: SimPO, which has no reference.
class SimpoSettings(Settings):
    """What SimPO adds to the settings of a training."""

    beta: float = Field(default=2.0, gt=0)
    """Scale of the rewards."""
    gamma: float = Field(default=1.0, ge=0)
    """By how much the chosen answer's reward should be the higher."""


def build(common: dict[str, Any], settings: SimpoSettings) -> tuple[Any, type[Any]]:
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    class SimpoTrainer(CPOTrainer):
        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            prompt = feature["prompt_ids"]
            columns = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
            for side in ("chosen", "rejected"):
                answer = feature[f"{side}_ids"]
                columns |= {
                    f"{side}_input_ids": prompt + answer,
                    f"{side}_attention_mask": [1] * len(prompt + answer),
                    f"{side}_labels": [-100] * len(prompt) + answer,
                }
            return columns

    common["model_init_kwargs"]["device_map"] = None
    own = {"cpo_alpha": 0.0, "beta": settings.beta, "simpo_gamma": settings.gamma}
    return CPOConfig(**common, loss_type="simpo", **own), SimpoTrainer


SIMPO = Objective(
    name="simpo",
    label="SimPO",
    paper="Meng et al. 2024, arXiv:2405.14734",
    rows=PreferencePair,
    encode=Encoder.pairs,
    build=build,
    settings=SimpoSettings,
    defaults={"learning_rate": 1e-6},
)

JOB = """
model: {model}
rows: {rows}
settings: {{method: simpo, beta: 2.5, learning_rate: 1e-3, max_steps: 2, batch_size: 4}}
placement: {{device: cpu, per_device_batch: 2}}
"""


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line of registration."""
    monkeypatch.setitem(OBJECTIVES, SIMPO.name, SIMPO)


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


def test_its_settings_are_checked() -> None:
    """Its own keys are known, checked and in the schema; others are refused at their line."""
    text = JOB.format(model="m", rows="r")
    assert TrainJob.model_json_schema()["$defs"]["TrainSpec"]["properties"]["gamma"]["minimum"] == 0
    with pytest.raises(SpecError, match=r"line 4: settings\.gama: unknown key.*mean `gamma`\?"):
        parse_spec(text.replace("beta: 2.5", "gama: 1"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match=r"line 4: settings\.beta: .*greater than 0"):
        parse_spec(text.replace("beta: 2.5", "beta: 0"), TrainJob, "job.yaml")
    with pytest.raises(SpecError, match="`gamma` belongs to `method: simpo`"):
        parse_spec(text.replace("simpo, beta: 2.5", "dpo, gamma: 1"), TrainJob, "job.yaml")
    assert (SIMPO.stage, SIMPO.label, OBJECTIVES["dpo"].label) == ("simpo", "SimPO", "DPO")
