"""Judges that are models on this machine, in a study of several models."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from mixmerge.durable import read_log
from mixmerge.execution.events import ignore
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import JOURNAL, LOG
from mixmerge.files import read_json, write_rows
from mixmerge.records import Message, Prompt
from mixmerge.study.run import prepare
from mixmerge.study.spec import Study
from mixmerge.testbed.model import write_model


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with three models, a judge model, a classifier, and prompts."""
    for name in ("a", "b", "judge"):
        write_model(tmp_path / name)
    config = read_json(tmp_path / "judge" / "config.json")
    config["max_position_embeddings"] = 4096  # room for the rubric
    (tmp_path / "judge" / "config.json").write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "a")
    tokenizer.save_pretrained(tmp_path / "classifier")
    torch.manual_seed(0)
    BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            id2label={0: "fine", 1: "rude"},
            label2id={"fine": 0, "rude": 1},
        )
    ).save_pretrained(tmp_path / "classifier")
    asked = [
        Prompt(id=text, cluster=text, language="en", messages=(Message(role="user", content=text),))
        for text in ("Why?", "How?", "Who?", "When?")
    ]
    write_rows(tmp_path / "prompts.jsonl", asked)
    return tmp_path


def study(folder: Path, *axes: dict[str, Any]) -> Study:
    """Return a study of the base model and two others; each axis is a judge and a measure."""
    prompts = {"files": str(folder / "prompts.jsonl")}
    named = {f"axis{i}": {"prompts": prompts, **axis} for i, axis in enumerate(axes)}
    return Study.model_validate(
        {
            "base": str(folder / "a"),
            "checkpoints": {
                "one": {"model": str(folder / "a")},
                "two": {"model": str(folder / "b")},
            },
            "evaluate": {"axes": named, "decoding": {"max_new_tokens": 2}, "draws": 1000},
        }
    )


def loads(run: Path, model: Path) -> int:
    """Return how often the judge steps of a run loaded a model, as their logs say."""
    logs = "".join(log.read_text() for log in run.glob(f"judge/*/{LOG}"))
    return len(re.findall(rf"^loaded {re.escape(str(model))} in ", logs, re.MULTILINE))


def processes(run: Path) -> Iterator[int]:
    """Yield the process of every judge step."""
    for journal in run.glob(f"judge/*/{JOURNAL}"):
        yield from (entry["pid"] for entry in read_log(journal) if entry["event"] == "started")


def test_a_local_judge_is_loaded_once_for_all_models(models: Path) -> None:
    """So is a classifier, on a panel or not, whatever the settings of the axes."""
    judge = {"local": str(models / "judge"), "least_mass": 0}
    classifier = {"classifier": str(models / "classifier"), "labels": {"fine": "no", "rude": "yes"}}
    asked = study(
        models,
        {"judge": judge, "measure": "win_rate"},
        {"judge": judge | {"batch_size": 1}, "measure": {"rate": "harmful"}},
        {"judge": classifier, "measure": {"rate": "rude"}},
        {
            "judge": {"panel": [classifier | {"threshold": 0.4}, judge], "keep": "all"},
            "measure": {"rate": "harmful"},
        },
    )
    prepared = prepare(asked, models / "run")
    names = ("base", "one", "two")
    prepared.run(ignore, workers=1, only=[f"judge/{name}" for name in names])
    assert len(list((models / "run").glob("judge/*/record.json"))) == 3
    assert len(set(processes(models / "run"))) == 1
    assert loads(models / "run", models / "judge") == 1
    assert loads(models / "run", models / "classifier") == 1


def judging(asked: Study, folder: Path) -> list[Step]:
    """Return the judge steps of a study."""
    return [step for step in prepare(asked, folder / "run").steps if step.kind == "judge"]


def test_a_local_judge_has_a_device_to_itself(models: Path) -> None:
    """Its steps are a group that asks for a GPU and memory; other judges run one by one."""
    local = {"judge": {"local": str(models / "judge")}, "measure": "win_rate"}
    on_panel = {"judge": {"panel": [local["judge"], "exact_match"]}, "measure": {"rate": "correct"}}
    for axis in (local, on_panel):
        steps = judging(study(models, axis), models)
        assert {(step.together, step.needs.gpus) for step in steps} == {("judge", 1)}
        weights = (models / "judge" / "model.safetensors").stat().st_size / 1e9
        assert steps[0].needs.memory_gb == pytest.approx(weights, rel=0.5)
        assert steps[0].needs.memory_gb > weights
    ruled = judging(study(models, {"judge": {"regex": "x"}, "measure": "mean"}), models)
    assert {(step.together, step.needs) for step in ruled} == {("", Needs(seconds=2))}


def test_where_a_judge_runs_is_no_part_of_its_identity(models: Path) -> None:
    """Records stay valid with other threads, and whether or not steps share a process."""
    asked = study(models, {"judge": {"local": str(models / "judge")}, "measure": "win_rate"})
    wider = Study.model_validate(
        asked.model_dump(exclude_unset=True) | {"placement": {"judge": {"threads": 2}}}
    )
    for one, other in zip(judging(asked, models), judging(wider, models), strict=True):
        assert one.needs.cpus != other.needs.cpus
        assert (one.settings, one.inputs) == (other.settings, other.inputs)
        assert "threads" not in json.dumps(dict(one.settings))
