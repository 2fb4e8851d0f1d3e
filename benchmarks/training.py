"""Step time of each objective beside the same loss written bare in torch.

    python -m benchmarks.training [--steps 40] [--repeats 3] [--objectives sft dpo …]

Trains the testbed's model on the testbed's rows, with `mixmerge train` and with a plain loop that
has the same rows in each step, the same loss and the same optimizer. The two take turns, each on
one thread. Times are of the processor, since others may use the machine, and the median over
steps. The reference's log-probabilities are computed before (RLOO's as it goes), and the loop
projects only answers to the vocabulary. Where the model answers in training, the loop samples with
transformers. Writes results/training.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.machine import describe

from mixmerge.files import write_rows
from mixmerge.progress import silent
from mixmerge.records import (
    Conversation,
    Item,
    LabelledCompletion,
    ModelFolder,
    TrainingPrompt,
)
from mixmerge.testbed.data import preference_pairs
from mixmerge.testbed.model import write_model
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.data import read_data
from mixmerge.training.objectives import OBJECTIVES
from mixmerge.training.plan import row_order, sorted_within_steps
from mixmerge.training.rewards import Reward
from mixmerge.training.run import train

WARM_UP = 3
ROWS = 640
BATCH = 16
ANSWER = 24
"""Longest answer that the model writes in training, in tokens."""

Scored = Callable[[list[tuple[list[int], list[int]]]], tuple[Any, Any]]
"""From prompts with answers to each answer's log-probability and its tokens."""


def write(method: str, folder: Path) -> Path:
    """Write the objective's rows."""
    pairs = preference_pairs("general")[:ROWS]
    kinds = {
        Conversation: [pair.as_conversation() for pair in pairs],
        LabelledCompletion: [row for pair in pairs for row in pair.as_labelled()][:ROWS],
        TrainingPrompt: [
            TrainingPrompt(id=p.id, source=p.source, language=p.language, prompt=p.prompt)
            for p in pairs
        ],
    }
    path = folder / f"{method}.jsonl"
    write_rows(path, kinds.get(OBJECTIVES[method].rows, pairs))
    return path


def ours(spec: TrainSpec, model: Path, rows: Path, out: Path) -> list[float]:
    """Return the seconds of each step of a training."""
    marks: list[float] = []

    def progress(_done: float, _total: float, what: str) -> None:
        if what.startswith("training"):
            marks.append(time.process_time())

    train(
        spec,
        model=model,
        rows=rows,
        out=out,
        placement=TrainPlacement(device="cpu"),
        reward=Reward("length", by_length) if spec.objective.rewarded else None,
        teachers={"general": model} if spec.objective.teachers else {},
        progress=progress,
    )
    return [after - before for before, after in pairwise(marks)]


def scorer(model: Any) -> Scored:
    """Return a function that scores answers in one padded batch."""
    import torch

    scale = getattr(model.config, "logit_scale", 1.0)

    def score(rows: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        told = torch.zeros(len(rows), width, dtype=torch.bool)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        for n, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[n, :end], mask[n, :end] = torch.tensor(prompt + answer), 1
            told[n, len(prompt) : end] = True
        hidden = model.base_model(ids, attention_mask=mask, use_cache=False).last_hidden_state
        told = told[:, 1:]
        logits = model.get_output_embeddings()(hidden[:, :-1][told]) * scale
        each = torch.nn.functional.cross_entropy(logits, ids[:, 1:][told], reduction="none")
        sums = torch.zeros(told.shape).masked_scatter(told, -each).sum(-1)
        return sums, told.sum(-1)

    return score


def preference(method: str, score: Scored, reference: Any, c: dict[str, Any], rows: Any) -> Any:
    """Return DPO's, CPO's, SimPO's or ORPO's loss of a step."""
    import torch

    both = [(c["prompt_ids"][n], c[f"{s}_ids"][n]) for s in ("chosen", "rejected") for n in rows]
    sums, lengths = score(both)
    good, bad = (sums / lengths if method in ("simpo", "orpo") else sums).chunk(2)
    likelihood = -sums[: len(rows)].sum() / lengths[: len(rows)].sum()
    log_sigmoid = torch.nn.functional.logsigmoid
    if method == "dpo":
        return -log_sigmoid(0.1 * (good - bad - reference[rows])).mean()
    if method == "cpo":
        return -log_sigmoid(0.1 * (good - bad)).mean() + likelihood
    if method == "simpo":
        return -log_sigmoid(0.1 * (good - bad) - 0.5).mean()
    odds = good - bad - torch.log1p(-good.exp()) + torch.log1p(-bad.exp())
    return likelihood - 0.1 * log_sigmoid(odds).mean()


def kto(score: Scored, reference: Any, c: dict[str, Any], rows: Any) -> Any:
    """Return KTO's loss of a step; ``reference`` has each row's log-probability, and its KL's."""
    import torch

    prompts, answers, half = c["prompt_ids"], c["completion_ids"], len(rows) // 2
    with torch.no_grad():
        other = [(prompts[n], answers[rows[i - half]]) for i, n in enumerate(rows)]
        kl = (score(other)[0] - reference(other)).mean().clamp(min=0)
    own = [(prompts[n], answers[n]) for n in rows]
    sign = torch.tensor([1.0 if c["label"][n] else -1.0 for n in rows])
    return torch.sigmoid(-0.1 * sign * (score(own)[0] - reference(own) - kl)).mean()


def sft(model: Any, columns: dict[str, Any], rows: Any) -> Any:
    """Return the mean cross-entropy of a step's labelled tokens."""
    import torch

    width = max(len(columns["input_ids"][n]) for n in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for place, n in enumerate(rows):
        end = len(columns["input_ids"][n])
        ids[place, :end], mask[place, :end] = torch.tensor(columns["input_ids"][n]), 1
        labels[place, :end] = torch.tensor(columns["labels"][n])
    hidden = model.base_model(ids, attention_mask=mask, use_cache=False).last_hidden_state
    told = labels[:, 1:] != -100
    logits = model.get_output_embeddings()(hidden[:, :-1][told])
    logits = logits * getattr(model.config, "logit_scale", 1.0)
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][told])


def distil(model: Any, teacher: Any, prompts: Sequence[list[int]], longest: int) -> Any:
    """Return the mean reverse KL of a step: the model answers, and the teacher reads."""
    import torch

    scale, width = getattr(model.config, "logit_scale", 1.0), max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, prompt in enumerate(prompts):
        ids[place, width - len(prompt) :], mask[place, width - len(prompt) :] = (
            torch.tensor(prompt),
            1,
        )
    stop = model.generation_config.eos_token_id
    with torch.no_grad():
        ids = model.generate(
            ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=longest,
            pad_token_id=0,
        )
    answers = ids[:, width:]
    over = torch.isin(answers, torch.tensor(stop)).long()
    told = torch.cat([mask.new_zeros(mask.shape), 1 - (over.cumsum(1) - over).clamp(max=1)], dim=1)
    mask = torch.cat([mask, told[:, width:]], dim=1)
    kept = told[:, 1:].bool()

    def scored(of: Any) -> Any:
        hidden = of.base_model(ids, attention_mask=mask, use_cache=False).last_hidden_state
        return (of.get_output_embeddings()(hidden[:, :-1][kept]) * scale).log_softmax(-1)

    with torch.no_grad():
        wanted = scored(teacher)
    own = scored(model)
    return (own.exp() * (own - wanted)).sum(-1).mean()


def by_length(items: Sequence[Item]) -> dict[str, list[float]]:
    """Reward an answer by its length."""
    return {"length": [float(len(item.answer.text)) for item in items]}


def answering(spec: TrainSpec, folder: Path, rows: Path) -> Iterator[Callable[[], Any]]:
    """Yield a function for each step that writes answers and returns GRPO's or RLOO's loss."""
    import torch
    from transformers import AutoModelForCausalLM

    data = read_data(spec, ModelFolder(folder), rows, silent)
    prompts, own = data.encoded.columns["prompt_ids"], spec.own
    group = spec.answers_per_prompt
    order = row_order(len(prompts), spec.batch_size // group, spec.steps(0), spec.seed)
    order = sorted_within_steps(order, data.encoded.longest)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    score, score_reference = scorer(model), scorer(reference)
    yield lambda: model

    def loss(step: list[int]) -> Any:
        asked = [prompts[n] for n in step for _ in range(group)]
        width = max(map(len, asked))
        ids = torch.zeros(len(asked), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, prompt in enumerate(asked):
            ids[place, width - len(prompt) :] = torch.tensor(prompt)
            mask[place, width - len(prompt) :] = 1
        limits = {"max_new_tokens": own.max_completion_length, "eos_token_id": [*data.stops]}
        with torch.no_grad():
            made = model.generate(
                ids, attention_mask=mask, do_sample=True, top_k=0, pad_token_id=0, **limits
            )
        written = []
        for prompt, tokens in zip(asked, made[:, width:].tolist(), strict=True):
            ends = [place for place, token in enumerate(tokens) if token in data.stops]
            written.append((prompt, tokens[: ends[0] + 1] if ends else tokens))
        texts = [data.tokenizer.decode(answer, skip_special_tokens=True) for _, answer in written]
        rewards = torch.tensor([float(len(text)) for text in texts])
        if own.beta:
            with torch.no_grad():
                rewards -= own.beta * (score(written)[0] - score_reference(written)[0])
        groups = rewards.view(-1, group)
        sums, lengths = score(written)
        if spec.method == "grpo":
            spread = groups.std(1, keepdim=True) + 1e-4
            advantages = ((groups - groups.mean(1, keepdim=True)) / spread).view(-1)
            return -(advantages * sums).sum() / lengths.sum()
        others = (groups.sum(1, keepdim=True) - groups) / (group - 1)
        return -((groups - others).view(-1) * sums).mean()

    for step in order.tolist():
        yield partial(loss, step)


def bare(spec: TrainSpec, folder: Path, rows: Path) -> list[float]:
    """Return the seconds of each step of the plain loop."""
    steps = answering(spec, folder, rows) if spec.objective.rewarded else given(spec, folder, rows)
    model = next(steps)()
    return timed(spec, model, steps)


def timed(spec: TrainSpec, model: Any, steps: Iterable[Callable[[], Any]]) -> list[float]:
    """Take an optimizer step with each loss and return the seconds of each."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=0.0)
    seconds = []
    for step_loss in steps:
        start = time.process_time()
        loss = step_loss()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.process_time() - start)
    return seconds


def given(spec: TrainSpec, folder: Path, rows: Path) -> Iterator[Callable[[], Any]]:
    """Yield the model, and then a function for each step that returns the loss of given rows."""
    import torch
    from transformers import AutoModelForCausalLM

    encoded = read_data(spec, ModelFolder(folder), rows, silent).encoded
    columns = encoded.columns
    order = row_order(len(encoded.read), spec.batch_size, spec.steps(0), spec.seed)
    order = sorted_within_steps(order, encoded.longest)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    score = scorer(model)
    known: dict[tuple[int, ...], Any] = {}

    def reference(asked: list[tuple[list[int], list[int]]]) -> Any:
        return torch.stack([known[*prompt, -1, *answer] for prompt, answer in asked])

    teacher: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    loss_of: dict[str, Callable[[Any], Any]] = {
        "distil": lambda step: distil(
            model, teacher, [columns["prompt_ids"][n] for n in step], ANSWER
        ),
        "sft": lambda step: sft(model, columns, step),
        "kto": lambda step: kto(score, reference, columns, step),
    }
    margins = torch.zeros(len(encoded.read))  # equal for all: only the time counts
    if spec.method == "kto":
        for step in order.tolist():
            for i, n in enumerate(step):
                for other in (n, step[i - len(step) // 2]):
                    key = (*columns["prompt_ids"][n], -1, *columns["completion_ids"][other])
                    known[key] = torch.tensor(0.0)
    step_loss = loss_of.get(
        spec.method, lambda step: preference(spec.method, score, margins, columns, step)
    )
    yield lambda: model
    for step in order.tolist():
        yield partial(step_loss, step)


def measure(
    methods: Sequence[str], steps: int, repeats: int, folder: Path
) -> dict[str, dict[str, float]]:
    """Return the milliseconds of a step, ours and bare, and their ratio, by objective."""
    import torch

    torch.set_num_threads(1)
    model = folder / "base"
    write_model(model)
    found = {}
    for method in methods:
        own: dict[str, Any] = {"max_completion_length": ANSWER} if OBJECTIVES[method].online else {}
        own |= {"reward": {"length": 1.0}} if OBJECTIVES[method].rewarded else {}
        settings = {"method": method, "max_steps": steps, "batch_size": BATCH, "seed": 1, **own}
        spec = TrainSpec.model_validate(settings)
        rows = write(method, folder)
        times: dict[str, list[float]] = {"mixmerge": [], "bare": []}
        for turn in range(repeats):
            made = ours(spec, model, rows, folder / f"{method}-{turn}")
            times["mixmerge"].append(statistics.median(made[WARM_UP:]))
            times["bare"].append(statistics.median(bare(spec, model, rows)[WARM_UP:]))
        least = {name: min(values) for name, values in times.items()}
        found[method] = {name: round(1000 * value, 2) for name, value in least.items()}
        found[method]["ratio"] = round(least["mixmerge"] / least["bare"], 2)
        print(method, found[method], flush=True)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--objectives", nargs="+", default=[*OBJECTIVES])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(asked.objectives, asked.steps, asked.repeats, Path(folder))
    results = Path(__file__).parent / "results" / "training.json"
    if results.is_file():  # keep those that were not measured now
        found = json.loads(results.read_text())["milliseconds"] | found
    content = {"machine": describe(None), "steps": asked.steps, "milliseconds": found}
    results.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
