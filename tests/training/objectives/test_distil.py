"""Distillation of tiny models on their own answers, with one teacher and with two."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training.adapters import count_adapted

from mixmerge.errors import DataError, SpecError
from mixmerge.files import read_rows, write_rows
from mixmerge.progress import silent
from mixmerge.records import Conversation, ModelFolder
from mixmerge.training import AdapterSpec, TrainJob, TrainPlacement, TrainSpec
from mixmerge.training.data import read_data
from mixmerge.training.report import CurvePoint, TrainReport
from mixmerge.training.run import train

DISTIL = TrainSpec.model_validate(
    {
        "method": "distil",
        "learning_rate": 3e-3,
        "max_steps": 5,
        "batch_size": 8,
        "schedule": "constant",
        "max_completion_length": 12,
        "seed": 3,
    }
)
SOURCES = ("here", "there")


def changed(**settings: Any) -> TrainSpec:
    """Return `DISTIL` with other settings."""
    return TrainSpec.model_validate({**DISTIL.model_dump(exclude_none=True), **settings})


@pytest.fixture
def rows(tiny: Any, tmp_path: Path) -> Path:
    """Write 20 conversations of two sources."""
    write_rows(tmp_path / "rows.jsonl", [row_of(tiny, number) for number in range(20)])
    return tmp_path / "rows.jsonl"


def row_of(tiny: Any, number: int) -> Conversation:
    """Return a conversation; the rows in Hindi, whose prompts are longer, are of one source."""
    row: Conversation = tiny.conversation(number)
    return row.model_copy(update={"source": SOURCES[row.language == "hi"]})


@pytest.fixture(scope="module")
def teachers(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two teachers with sharp distributions: the one has another shape than the student."""
    import torch
    from transformers import AutoModelForCausalLM

    made = {}
    for number, (source, layers) in enumerate(zip(SOURCES, (1, 2), strict=True)):
        folder = tiny.make_model(
            tmp_path_factory.mktemp("teachers") / source, num_hidden_layers=layers
        )
        model = AutoModelForCausalLM.from_pretrained(folder)
        torch.manual_seed(number + 1)
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(weight + 0.3 * torch.randn_like(weight))
        model.save_pretrained(folder)
        made[source] = folder
    return made


def logits(folder: Path, ids: Sequence[int]) -> Any:
    """Return a model's logits after each token, in float64, shape ``(tokens, vocabulary)``."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.no_grad():
        return model(input_ids=torch.tensor([[*ids]])).logits[0]


def divergence(student: Any, teacher: Any, beta: float) -> Any:
    """Equation 1 of Agarwal et al. (2023) with its limits, shape ``(tokens,)``."""
    ours, theirs = student.softmax(-1), teacher.softmax(-1)

    def kl(one: Any, other: Any) -> Any:
        return (one * (one.log() - other.log())).sum(-1)

    if beta in (0, 1):
        return kl(ours, theirs) if beta else kl(theirs, ours)
    middle = beta * theirs + (1 - beta) * ours
    return beta * kl(theirs, middle) + (1 - beta) * kl(ours, middle)


def losses(out: Path) -> list[float]:
    """Return the losses of the curve."""
    return [point.loss for point in read_rows(out / "curve.jsonl", CurvePoint)]


def weights(out: Path) -> bytes:
    """Return the trained weights, byte for byte."""
    return (out / "model" / "model.safetensors").read_bytes()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect what the trainer gets in each step: prompts and answers as lists of tokens."""
    from trl import DistillationTrainer

    seen: list[dict[str, Any]] = []
    real = DistillationTrainer._generate_and_score_completions

    def watch(trainer: Any, inputs: list[dict[str, Any]]) -> Any:
        output = real(trainer, inputs)
        mask = output["completion_mask"].bool()
        written = [
            ids[kept].tolist() for ids, kept in zip(output["completion_ids"], mask, strict=True)
        ]
        seen.append(
            {
                "source": [row["source"] for row in inputs],
                "prompt": [row["prompt"] for row in inputs],
                "answer": written,
            }
        )
        return output

    monkeypatch.setattr(DistillationTrainer, "_generate_and_score_completions", watch)
    return seen


def test_a_teacher_that_is_the_student_teaches_nothing(
    cohere: Path, rows: Path, tmp_path: Path
) -> None:
    """The loss is 0 to rounding in each step, and no weight drifts."""
    from safetensors.numpy import load_file

    report = train(
        DISTIL,
        model=cohere,
        rows=rows,
        out=tmp_path / "out",
        teachers=dict.fromkeys(SOURCES, cohere),
    )
    assert losses(tmp_path / "out") == pytest.approx([0.0] * 5, abs=1e-6)
    before, after = (
        load_file(folder / "model.safetensors") for folder in (cohere, tmp_path / "out" / "model")
    )
    for name, tensor in before.items():
        np.testing.assert_allclose(after[name], tensor, atol=1e-6)
    assert report.generated_tokens == report.target_tokens > 0


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("balanced", [True, False])
def test_the_first_loss_is_that_of_the_paper(
    beta: float,
    balanced: bool,
    cohere: Path,
    rows: Path,
    teachers: dict[str, Path],
    answers: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Each token of an answer is scored by the teacher of its source, at the temperature."""
    spec = changed(beta=beta, balanced=balanced, temperature=1.5, max_steps=1)
    report = train(
        spec,
        model=cohere,
        rows=rows,
        out=tmp_path / "out",
        teachers=teachers,
        placement=TrainPlacement(per_device_batch=4, teachers_in_turn=not balanced),
    )
    sums = dict.fromkeys(SOURCES, 0.0)
    counts = dict.fromkeys(SOURCES, 0)
    (step,) = answers
    for source, prompt, answer in zip(*step.values(), strict=True):
        ids, start = prompt + answer, len(prompt) - 1
        student, teacher = (
            logits(folder, ids)[start:-1] / 1.5 for folder in (cohere, teachers[source])
        )
        sums[source] += divergence(student, teacher, beta).sum().item()
        counts[source] += len(answer)
    assert all(counts.values())
    mean = (
        sum(sums[source] / counts[source] for source in SOURCES) / 2
        if balanced
        else sum(sums.values()) / sum(counts.values())
    )
    assert report.first_loss == pytest.approx(mean, rel=1e-4)
    assert mean > 0.1


def test_teachers_may_answer(
    cohere: Path,
    rows: Path,
    teachers: dict[str, Path],
    answers: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Off-policy: the answers are each teacher's, and do not change with the student or the split.

    The student then writes nothing, and the teachers read each row twice.
    """
    spec = changed(answers="teacher", beta=0, temperature=0.05, max_steps=2)
    where = TrainPlacement(per_device_batch=2)
    report = train(spec, model=cohere, rows=rows, out=tmp_path / "one", teachers=teachers)
    train(
        spec,
        model=teachers["there"],
        rows=rows,
        out=tmp_path / "two",
        teachers=teachers,
        placement=where,
    )
    assert answers[:2] == answers[2:]
    chosen = []
    for step in answers[:2]:
        for source, prompt, answer in zip(*step.values(), strict=True):
            likely = logits(teachers[source], prompt + answer)[len(prompt) - 1 : -1].argmax(-1)
            chosen += [one == other for one, other in zip(likely.tolist(), answer, strict=True)]
    assert np.mean(chosen) > 0.8  # at this temperature, nearly always the most likely token
    assert report.forward_tokens == 0
    assert sum(report.teacher_tokens.values()) == 2 * report.tokens


def test_the_student_comes_closer_to_each_teacher(
    cohere: Path, rows: Path, teachers: dict[str, Path], tiny: Any, tmp_path: Path
) -> None:
    """On prompts that no training has seen, the KL to the teacher of each source falls."""
    spec = changed(max_steps=60, learning_rate=1e-2)
    report = train(spec, model=cohere, rows=rows, out=tmp_path / "out", teachers=teachers)
    held_out = [row_of(tiny, number) for number in range(100, 124)]
    write_rows(tmp_path / "new.jsonl", held_out)
    new = read_data(spec, ModelFolder(cohere), tmp_path / "new.jsonl", silent).encoded.columns
    asked = [*zip(new["source"], new["prompt_ids"], strict=True)]
    for source, teacher in teachers.items():
        before, after = (
            np.mean(
                [
                    divergence(logits(student, ids)[-1:], logits(teacher, ids)[-1:], 1.0).item()
                    for of, ids in asked
                    if of == source
                ]
            )
            for student in (cohere, tmp_path / "out" / "model")
        )
        assert after < 0.7 * before, source
    assert report.final_loss < 0.8 * report.first_loss


def test_what_is_counted(
    cohere: Path,
    rows: Path,
    teachers: dict[str, Path],
    answers: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Tokens read, written and read by each teacher, and the operations that they took."""
    report = train(DISTIL, model=cohere, rows=rows, out=tmp_path / "out", teachers=teachers)
    written, taught, cut = 0, dict.fromkeys(SOURCES, 0), 0
    for step in answers:
        for source, prompt, answer in zip(*step.values(), strict=True):
            written += len(answer)
            taught[source] += len(prompt) + len(answer)
            cut += answer[-1] != 3  # the end of turn
    assert (report.generated_tokens, report.teacher_tokens) == (written, taught)
    assert report.tokens == report.forward_tokens == sum(taught.values())
    assert 0 < report.unfinished == cut
    assert f"{cut} of 40 answers did not end within `max_completion_length`" in report.notes[0]
    own = report.weights * (6 + 2) * report.tokens
    of_teachers = sum(2 * ModelFolder(teachers[name]).weights * taught[name] for name in SOURCES)
    assert report.flops == own + of_teachers


_KILLED = """
import json, os, signal, sys
from pathlib import Path
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.run import train

def kill(done, total, what):
    if what.startswith("training") and done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

spec, model, rows, out, teachers = sys.argv[1:]
train(TrainSpec.model_validate_json(spec), model=model, rows=Path(rows), out=Path(out),
      teachers=json.loads(teachers), placement=TrainPlacement(save_steps=2), progress=kill)
"""


@pytest.mark.slow
@pytest.mark.parametrize("adapter", [None, AdapterSpec(rank=2, dropout=0.2)], ids=["full", "lora"])
def test_a_killed_distillation_resumes_to_the_same_bytes(
    adapter: AdapterSpec | None,
    cohere: Path,
    rows: Path,
    teachers: dict[str, Path],
    tmp_path: Path,
) -> None:
    """After SIGKILL, answers, losses, counts and weights are those of a straight run."""
    spec = DISTIL.model_copy(update={"adapter": adapter})
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    given = json.dumps({source: str(folder) for source, folder in teachers.items()})
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, spec.model_dump_json(), cohere, rows, killed, given],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    resumed = train(spec, model=cohere, rows=rows, out=killed, teachers=teachers)
    whole = train(spec, model=cohere, rows=rows, out=straight, teachers=teachers)
    assert (resumed.resumed_from, whole.resumed_from) == (4, 0)
    assert weights(killed) == weights(straight)
    assert losses(killed) == losses(straight)
    for name in ("tokens", "generated_tokens", "teacher_tokens", "unfinished"):
        assert getattr(resumed, name) == getattr(whole, name)


@pytest.mark.slow
def test_two_ranks_distil_as_one(
    cohere: Path, rows: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """The answers do not depend on the split of a step, so losses are equal up to rounding."""
    from safetensors.numpy import load_file

    where = TrainPlacement(devices=2, per_device_batch=2)
    made = {
        name: train(
            DISTIL,
            model=cohere,
            rows=rows,
            out=tmp_path / name,
            teachers=teachers,
            placement=placement,
        )
        for name, placement in (("two", where), ("one", TrainPlacement()))
    }
    assert (made["two"].ranks, made["two"].accumulation) == (2, 2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    for name in ("tokens", "generated_tokens", "teacher_tokens", "unfinished"):
        assert getattr(made["two"], name) == getattr(made["one"], name)
    one, two = (load_file(tmp_path / n / "model" / "model.safetensors") for n in ("one", "two"))
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, atol=2e-3)


def test_a_lora_student(llama: Path, rows: Path, teachers: dict[str, Path], tmp_path: Path) -> None:
    """An adapter is distilled and merged as in any other training."""
    lora = AdapterSpec(rank=2, alpha=8, targets=("q_proj", "v_proj"))
    spec = DISTIL.model_copy(update={"adapter": lora})
    train(
        spec,
        model=llama,
        rows=rows,
        out=tmp_path / "out",
        teachers=dict.fromkeys(SOURCES, teachers["here"]),
    )
    assert count_adapted(llama, tmp_path / "out", lora) == 4


def test_bfloat16_has_a_finite_loss(
    cohere: Path, rows: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """The divergence of distributions far apart is computed in float32, and is finite."""
    import torch
    from transformers import AutoModelForCausalLM

    far = tmp_path / "far"
    model = AutoModelForCausalLM.from_pretrained(teachers["there"])
    with torch.no_grad():
        model.model.embed_tokens.weight *= 300  # the tied head, so the logits, too
    model.save_pretrained(far)
    for file in teachers["there"].glob("*token*"):
        (far / file.name).write_bytes(file.read_bytes())
    (far / "chat_template.jinja").write_bytes(
        (teachers["there"] / "chat_template.jinja").read_bytes()
    )
    report = train(
        changed(precision="bfloat16"),
        model=cohere,
        rows=rows,
        out=tmp_path / "out",
        teachers=dict.fromkeys(SOURCES, far),
    )
    assert 100 < report.first_loss < float("inf")


def test_each_source_needs_a_teacher(cohere: Path, rows: Path, tmp_path: Path) -> None:
    """A source without a teacher is named; without any the key is missing, and SFT has no use."""
    with pytest.raises(DataError, match=r"rows of `there` have no teacher; known are `here`"):
        train(DISTIL, model=cohere, rows=rows, out=tmp_path / "out", teachers={"here": cohere})
    with pytest.raises(SpecError, match="`method: distil` needs `teachers`"):
        train(DISTIL, model=cohere, rows=rows, out=tmp_path / "out")
    with pytest.raises(SpecError, match="`method: sft` does not learn from `teachers`"):
        train(TrainSpec(), model=cohere, rows=rows, out=tmp_path / "out", teachers={"a": cohere})
    with pytest.raises(ValueError, match="`method: distil` needs `teachers`"):
        TrainJob(model="m", rows=rows, settings=DISTIL)


def test_a_sharded_student_is_refused() -> None:
    """FSDP and DeepSpeed would make the processes wait for each other; the message has the ways."""
    for sharded in (TrainPlacement(fsdp={}), TrainPlacement(deepspeed=Path("zero3.json"))):
        with pytest.raises(SpecError, match=r"cannot be sharded: .*teachers_in_turn: true"):
            DISTIL.split(sharded)


def test_prompts_must_leave_room_for_an_answer(
    cohere: Path, rows: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """Prompt and the longest answer must fit the context together; the message has both."""
    given: dict[str, Any] = {
        "model": cohere,
        "rows": rows,
        "out": tmp_path / "out",
        "teachers": teachers,
    }
    with pytest.raises(DataError, match=r"every row with an answer of 512 tokens is longer"):
        train(changed(max_completion_length=512, overlong="drop"), **given)
    with pytest.raises(DataError, match=r"of which 110 for the answer: `max_completion_length`"):
        train(changed(max_completion_length=110), **given)


def test_a_prompt_without_tokens_is_left_out(
    rows: Path, teachers: dict[str, Path], tiny: Any, tmp_path: Path
) -> None:
    """A template that writes nothing for a prompt leaves the model nothing to answer."""
    template = "{% if messages[0].content != 'Nothing.' %}" + tiny.cohere_template + "{% endif %}"
    student = tiny.make_model(tmp_path / "student", template=template)
    row = tiny.conversation(1)
    nothing = row.model_copy(
        update={"source": "here", "messages": (tiny.turn("user", "Nothing."), row.messages[1])}
    )
    with rows.open("a", encoding="utf-8") as stream:
        stream.write(nothing.model_dump_json() + "\n")
    report = train(DISTIL, model=student, rows=rows, out=tmp_path / "out", teachers=teachers)
    assert report.left_out == {"its prompt has no tokens": 1}


def test_teachers_are_part_of_the_identity(
    cohere: Path, rows: Path, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """The same call returns the report at once; another teacher trains anew."""
    out = tmp_path / "out"
    first = train(DISTIL, model=cohere, rows=rows, out=out, teachers=teachers)
    assert train(DISTIL, model=cohere, rows=rows, out=out, teachers=teachers) == first
    other = train(DISTIL, model=cohere, rows=rows, out=out, teachers=teachers | {"here": cohere})
    assert other.identity != first.identity
    assert TrainReport.model_validate_json((out / "report.json").read_text()) == other
