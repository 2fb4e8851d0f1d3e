"""Answers that the model writes in training: how they are sampled, and where they end."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mixmerge.errors import ModelError
from mixmerge.files import read_json, write_json, write_rows
from mixmerge.records import TrainingPrompt
from mixmerge.training import TrainSpec
from mixmerge.training.online import _sampled
from mixmerge.training.rewards import Reward
from mixmerge.training.run import train


def test_answers_are_samples_of_the_model() -> None:
    """The first tokens of many answers are distributed as the softmax at the temperature."""
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0])
    draw = _sampled(seed=(0, 0), rows=20_000, own=range(5_000, 20_000), temperature=2.0)
    drawn = draw(None, scores.expand(15_000, 4)).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / 15_000
    torch.testing.assert_close(shares, (scores / 2).softmax(-1), atol=0.015, rtol=0)
    other = _sampled(seed=(0, 1), rows=20_000, own=range(5_000, 20_000), temperature=2.0)
    assert (other(None, scores.expand(15_000, 4)).argmax(-1) != drawn).any()


def test_answers_end_at_the_tokens_that_end_a_turn(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the base model stops at another token: its files are mended, as by SFT."""
    from trl import DistillationTrainer

    base = tiny.make_model(tmp_path / "base")
    for name, key, value in (
        ("config.json", "eos_token_id", 1),
        ("generation_config.json", "eos_token_id", 1),
        ("tokenizer_config.json", "eos_token", "<BOS_TOKEN>"),
    ):
        write_json(base / name, read_json(base / name) | {key: value})
    write_rows(tmp_path / "rows.jsonl", map(tiny.conversation, range(16)))
    seen: list[list[int]] = []
    real = DistillationTrainer._generate_single_turn

    def watch(*given: Any) -> Any:
        seen.extend(answers := real(*given))
        return answers

    monkeypatch.setattr(DistillationTrainer, "_generate_single_turn", watch)
    settings = {"method": "distil", "max_steps": 20, "batch_size": 8, "max_completion_length": 12}
    report = train(
        TrainSpec.model_validate(settings),
        model=base,
        rows=tmp_path / "rows.jsonl",
        out=tmp_path / "out",
        teachers={"test": base},
    )
    assert len(seen) == 160
    ended = [answer for answer in seen if answer[-1] in (1, 3)]
    assert report.unfinished == 160 - len(ended) < 160
    assert any(answer[-1] == 3 for answer in ended)
    assert not any({1, 3} & {*answer[:-1]} for answer in seen)
    made = read_json(tmp_path / "out" / "model" / "generation_config.json")
    assert made["eos_token_id"] == [1, 3]
    assert report.new_stops == ("<|END_OF_TURN_TOKEN|>",)


@pytest.mark.parametrize("method", ["distil", "grpo"])
def test_a_model_whose_answers_never_end_is_refused(method: str, tiny: Any, tmp_path: Path) -> None:
    """A template that ends no turn would have every answer run to its limit; nothing is written."""
    endless = tiny.cohere_template.replace("<|END_OF_TURN_TOKEN|>", "")
    assert endless != tiny.cohere_template
    model = tiny.make_model(tmp_path / "model", template=endless)
    rows: list[Any] = [*map(tiny.conversation, range(8))]
    if method == "grpo":
        known = {"id", "source", "language"}
        rows = [
            TrainingPrompt(**row.model_dump(include=known), prompt=row.messages[:-1])
            for row in rows
        ]
    write_rows(tmp_path / "rows.jsonl", rows)
    own = {"reward": {"a": 1}} if method == "grpo" else {}
    spec = TrainSpec.model_validate({"method": method, "max_steps": 2, "batch_size": 8, **own})
    with pytest.raises(ModelError, match=r"end.of.turn token"):
        train(
            spec,
            model=model,
            rows=tmp_path / "rows.jsonl",
            out=tmp_path / "out",
            teachers={} if own else {"test": model},
            reward=Reward("a", lambda items: {"a": [1.0] * len(items)}) if own else None,
        )
    assert not (tmp_path / "out" / "model").exists()
