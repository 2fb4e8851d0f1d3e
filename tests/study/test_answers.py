"""Generate, then train: teachers answer a mixture's prompts, and a student learns from them."""

import html
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.endpoint_server import Server, says

import mixmerge
from mixmerge.errors import DataError, SpecError
from mixmerge.execution.environment import cpu_threads
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_json, read_rows, write_rows
from mixmerge.records import Conversation, Message, ModelFolder, Response, TrainingPrompt
from mixmerge.study import memory
from mixmerge.study.check import parse_study
from mixmerge.study.memory import Device
from mixmerge.study.steps import HANDLERS, steps
from mixmerge.study.steps.answers import AnswersFacts
from mixmerge.testbed.model import write_model

STUDY = """
study: taught
languages: [en]
base: testbed
data:
  general: {testbed: general}
  safety: {testbed: safety}
mixtures:
  general: {size: 64, shares: {general: 1}}
  safety: {size: 64, shares: {safety: 1}}
  both: {size: 64, shares: {general: 0.5, safety: 0.5}}
training:
  sft: {method: sft, learning_rate: 1.0e-3, batch_size: 16}
  dpo: {method: dpo, learning_rate: 1.0e-3, batch_size: 16}
  distil: {method: distil, learning_rate: 1.0e-3, batch_size: 16, max_completion_length: 24}
checkpoints:
  mix: {train: sft, mixture: both}
  general: {train: sft, mixture: general}
  safety: {train: sft, mixture: safety}
  slerp: {merge: {method: slerp, models: [general, safety]}}
  student: {train: sft, mixture: both, teachers: {general: general, safety: safety}}
evaluate:
  axes:
    safety:
      prompts: {testbed: safety, split: dev}
      judge: {rules: testbed}
      measure: {rate: harmful}
      better: lower
  baseline: mix
  decoding: {max_new_tokens: 12}
  draws: 1000
"""
TEACHERS = "teachers: {general: general, safety: safety}"
Changed = Callable[..., AnswersFacts]


def asked(*changes: tuple[str, str]) -> dict[str, Step]:
    """Return the steps of a changed study by id."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return {step.id: step for step in steps(parse_study(text, "s.yaml"))}


def test_the_mixtures_prompts_are_answered_before_the_training() -> None:
    """The teachers are inputs of the answers, and these of the training; the mix is unchanged."""
    every = asked()
    assert every["answers/student"].inputs == {
        "rows": "mix/both-prompts",
        "teacher:general": "train/general",
        "teacher:safety": "train/safety",
    }
    assert every["train/student"].inputs == {
        "model": "base/base",
        "rows": "mix/both-prompts",
        "answers": "answers/student",
    }
    assert every["train/mix"].inputs["rows"] == "mix/both-chats"
    held_out = every["mix/both-prompts"].inputs
    assert held_out["held_out:safety"] == "prompts/safety"
    # Decoding is the evaluation's unless `answers` says otherwise.
    assert every["answers/student"].settings["max_new_tokens"] == 12
    own = asked((TEACHERS, f"{TEACHERS}, answers: {{temperature: 0.5, unfinished: drop}}"))
    settings = own["answers/student"].settings
    assert [settings[key] for key in ("max_new_tokens", "temperature", "unfinished")] == [
        12,
        0.5,
        "drop",
    ]


def test_students_of_the_same_answers_share_them() -> None:
    """A second student with the same mixture and teachers waits for the first one's answers."""
    another = f"\n  other: {{train: sft, mixture: both, start: slerp, {TEACHERS}}}"
    every = asked((f"{TEACHERS}}}", f"{TEACHERS}}}{another}"))
    assert every["train/other"].inputs["answers"] == "answers/student"
    assert "answers/other" not in every
    sampled = another.replace(TEACHERS, f"{TEACHERS}, answers: {{temperature: 1}}")
    every = asked((f"{TEACHERS}}}", f"{TEACHERS}}}{sampled}"))
    assert every["train/other"].inputs["answers"] == "answers/other"


@pytest.mark.parametrize(
    ("start", "teachers", "arm"),
    [
        ("", "{general: general, safety: safety}", "distil"),
        (", start: general", "{general: slerp, safety: slerp}", "distil"),
        (", start: slerp", "{general: general, safety: safety}", "merge then distil"),
    ],
)
def test_its_arm_is_distillation(start: str, teachers: str, arm: str) -> None:
    """Whoever its teachers are, a model trained on answers of models is distilled."""
    from mixmerge.study.arms import arm as arm_of

    text = STUDY.replace(TEACHERS, f"teachers: {teachers}{start}")
    study = parse_study(text, "s.yaml")
    assert arm_of(study, "student") == arm
    assert study.stage("student") == "sft"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{train: sft, mixture: both, t",
            "{train: dpo, mixture: both, t",
            r"`method: dpo` does not",
        ),
        (
            TEACHERS,
            "teachers: {general: general}",
            r"student\.teachers: `both` has rows of `safety`, which no model teaches",
        ),
        (
            TEACHERS,
            "teachers: {general: general, safety: student}",
            r"checkpoints need each other in a circle: student → student",
        ),
        (
            "general: {train: sft, mixture: general}",
            "general: {train: sft, mixture: general, teachers: {general: slerp}}",
            r"circle: .*general.*slerp",
        ),
        (TEACHERS, "answers: {temperature: 1}", r"student\.answers: .* which needs `teachers`"),
        (
            "{train: sft, mixture: both, t",
            "{train: distil, mixture: both, answers: {temperature: 1}, t",
            r"student\.answers: .* such as `sft`",
        ),
        (TEACHERS, f"{TEACHERS}, answers: {{beta: 1}}", r"student\.answers\.beta"),
    ],
)
def test_what_cannot_be_answered_is_refused(old: str, new: str, message: str) -> None:
    """A teacher that is missing, the student itself, or an objective without answers."""
    with pytest.raises(SpecError, match=message):
        asked((old, new))


def test_one_teacher_at_a_time_needs_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers need the memory of one generation, whatever the number of teachers."""
    monkeypatch.setattr(memory, "device_here", lambda *_: Device("GPU", 1e12, gpu=True))
    planned = {id_: Planned(step, "to do") for id_, step in asked().items()}
    found = memory.step_bytes(planned["answers/student"], planned)
    assert found == memory.step_bytes(planned["generate/general"], planned) != None  # noqa: E711


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two models of the testbed's shape that answer differently, by source."""
    import torch
    from safetensors.torch import load_file, save_file

    made = {}
    for number, source in enumerate(("general", "safety")):
        folder = tmp_path_factory.mktemp(source)
        write_model(folder / "model")
        file = folder / "model" / "model.safetensors"
        noise = torch.Generator().manual_seed(number)
        tensors = {
            name: value + 0.1 * torch.randn(value.shape, generator=noise)
            for name, value in load_file(file).items()
        }
        save_file(tensors, file, metadata={"format": "pt"})
        made[source] = folder
    return made


def rows() -> list[TrainingPrompt]:
    """Return prompts of two sources and languages, one of them twice, one with a history."""
    ask = "What is the capital of {}?"
    made = [
        TrainingPrompt(
            id=place,
            source=source,
            language=language,
            prompt=(Message(role="user", content=ask.format(place)),),
        )
        for source in ("general", "safety")
        for language in ("en", "fr")
        for place in ("Malta", "Peru")
    ]
    before = (*made[0].prompt, Message(role="assistant", content="Paris."), *made[1].prompt)
    return [*made, made[0].model_copy(update={"id": "long", "prompt": before}), made[0]]


@pytest.fixture
def answer(teachers: dict[str, Path], tmp_path: Path) -> Changed:
    """Return a function that runs the step with a change of the study, and returns its facts."""
    mixture = tmp_path / "mix"
    write_rows(mixture / "rows.jsonl", rows())

    def run(*changes: tuple[str, str], out: str = "out", progress: Any = None) -> AnswersFacts:
        step = asked(*changes)["answers/student"]
        task = Task(
            step.kind,
            step.name,
            step.settings,
            {
                role: mixture if role == "rows" else teachers[role.partition(":")[2]]
                for role in step.inputs
            },
            {},
            step.placement,
            tmp_path / out,
            tmp_path / "cache",
        )
        told = HANDLERS[step.kind](task, progress or (lambda *_: None))
        return AnswersFacts.model_validate(told)

    return run


@cache
def loaded(model: Path) -> tuple[Any, Any]:
    """Return a model and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words: Any = AutoTokenizer.from_pretrained(model)
    return AutoModelForCausalLM.from_pretrained(model).float().eval(), words


def greedy(model: Path, row: TrainingPrompt, most: int) -> tuple[str, int]:
    """Return an answer and its prompt's tokens by the definition: one token at a time, no batch."""
    import torch

    network, words = loaded(model)
    turns = [{"role": turn.role, "content": turn.content} for turn in row.prompt]
    text = words.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = words(text, add_special_tokens=False)["input_ids"]
    written: list[int] = []
    while len(written) < most and (not written or written[-1] != words.eos_token_id):
        with torch.inference_mode(), cpu_threads(1):
            written.append(int(network(torch.tensor([ids + written])).logits[0, -1].argmax()))
    return words.decode(written, skip_special_tokens=True), len(ids)


def test_each_row_has_its_teachers_answer(
    answer: Changed, teachers: dict[str, Path], tmp_path: Path
) -> None:
    """To the letter, in the mixture's order; what the assistant said before is not trained."""
    facts = answer()
    made = read_rows(tmp_path / "out" / "rows.jsonl", Conversation)
    assert [(row.source, row.language, row.id) for row in made] == [
        (row.source, row.language, row.id) for row in rows()
    ]
    read = 0
    for row, prompt in zip(made, rows(), strict=True):
        text, length = greedy(teachers[row.source] / "model", prompt, 12)
        assert row.messages[-1].content == text
        read += length
    assert [turn.weight for turn in made[-2].messages] == [1, 0, 1, 1]
    first = {source: made[4 * n].messages[-1].content for n, source in enumerate(teachers)}
    assert first["general"] != first["safety"]
    # The row that is there twice is answered once.
    kept = [
        read_rows(tmp_path / "out" / "answers" / f"{source}.jsonl", Response) for source in teachers
    ]
    written = sum(each.tokens for own in kept for each in own)
    read -= greedy(teachers["general"] / "model", rows()[0], 1)[1]
    weights = ModelFolder(teachers["safety"] / "model").weights
    assert (facts.rows, facts.answers, facts.tokens) == (10, 9, written)
    assert facts.teacher_tokens == written + read
    assert facts.flops == 2 * weights * facts.teacher_tokens
    assert not [*(tmp_path / "out" / "answers").glob("*.journal")]


def test_answers_that_do_not_end_are_counted_and_can_be_dropped(
    answer: Changed, tmp_path: Path
) -> None:
    """They are trained on by default; if nothing is left, the error says why."""
    (note,) = answer((TEACHERS, f"{TEACHERS}, answers: {{max_new_tokens: 1}}")).notes
    assert re.match(r"9 of 9 answers of the teachers reached `max_new_tokens`: trained on", note)
    dropping = (TEACHERS, f"{TEACHERS}, answers: {{max_new_tokens: 1, unfinished: drop}}")
    with pytest.raises(DataError, match=r"can be trained on.* 9 of 9 answers .*: left out.*Raise"):
        answer(dropping, out="none")
    assert not (tmp_path / "none" / "rows.jsonl").exists()


def test_served_teachers_answer_and_empty_answers_are_left_out(
    answer: Changed, tmp_path: Path
) -> None:
    """An endpoint needs no weights; its operations are not known, which is no zero."""
    server = Server(lambda request, _: says("  " if "Malta" in request else "Yes."))
    given = f"general: {{generate: {{endpoint: {server.url}, model: big}}}}"
    served = [
        ("general: {train: sft, mixture: general}", given),
        ("  slerp: {merge: {method: slerp, models: [general, safety]}}\n", ""),
        ("{general: general, safety: safety}", "{general: general, safety: general}"),
    ]
    every = asked(*served)
    assert every["answers/student"].inputs == {"rows": "mix/both-prompts"}
    assert every["answers/student"].needs.gpus == 0
    try:
        facts = answer(*served)
    finally:
        server.stop()
    assert (facts.flops, facts.answers) == (None, 9)
    assert facts.notes == ["5 of 9 answers of the teachers are empty: left out."]
    made = read_rows(tmp_path / "out" / "rows.jsonl", Conversation)
    assert {row.messages[-1].content for row in made} == {"Yes."}
    # A student cannot start from a model without weights.
    start = ("mixture: both, teachers", "mixture: both, start: general, teachers")
    with pytest.raises(SpecError, match="needs the weights of `general`"):
        asked(*served, start)


def test_an_interrupted_step_goes_on(answer: Changed, tmp_path: Path) -> None:
    """What the first teacher has answered is not asked again; the bytes are those of one run."""
    calls: list[float] = []

    def stop(done: float, _total: float, _what: str) -> None:
        calls.append(done)
        if done == 7:
            raise KeyboardInterrupt("in the second teacher")

    few = ("  draws: 1000\n", "  draws: 1000\nplacement: {generate: {batch_size: 2}}\n")
    answer(few, out="straight")
    with pytest.raises(KeyboardInterrupt, match="second teacher"):
        answer(few, progress=stop)
    assert not (tmp_path / "out" / "rows.jsonl").exists()
    left: list[float] = []
    answer(few, progress=lambda done, _total, _what: left.append(done))
    assert (calls, left) == ([2, 4, 5, 7], [9])
    for file in (tmp_path / "straight").rglob("*.jsonl"):
        again = tmp_path / "out" / file.relative_to(tmp_path / "straight")
        assert again.read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_killed_study_ends_with_the_same_student(tmp_path: Path) -> None:
    """After SIGKILL among the answers, all is as in a straight run, and the costs are theirs."""
    file = tmp_path / "s.yaml"
    file.write_text(f"{STUDY}placement: {{generate: {{batch_size: 4}}}}\n")
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    command = [sys.executable, "-m", "mixmerge", "run", str(file), "--out", str(killed)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None and not [
        path for path in killed.glob("answers/*/answers/*.journal") if path.stat().st_size
    ]:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not [*killed.glob("answers/*/rows.jsonl")]
    mixmerge.run(file, straight, only=["train/student"])
    finished = mixmerge.run(file, killed)
    assert finished is not None
    for made in straight.glob("answers/*/**/*.jsonl"):
        assert (killed / made.relative_to(straight)).read_bytes() == made.read_bytes()
    (weights,) = straight.glob("train/student-*/model/model.safetensors")
    assert (killed / weights.relative_to(straight)).read_bytes() == weights.read_bytes()
    results = finished.results
    (record,) = (read_json(path) for path in killed.glob("answers/*/record.json"))
    costs, facts = results.costs, record["facts"]
    assert costs["student"].generated_tokens == facts["tokens"] > 0
    assert costs["student"].teacher_tokens == facts["teacher_tokens"]
    (told,) = (read_json(path) for path in killed.glob("train/student-*/record.json"))
    own = [costs[name].flops or 0 for name in ("general", "safety")]
    assert costs["student"].flops == sum(own) + facts["flops"] + told["facts"]["flops"]
    assert costs["student"].training_rows == 64 * 2 + told["facts"]["rows"]
    assert results.models["student"].arm == "distil"
    assert facts["notes"]
    page = finished.report_file.read_text(encoding="utf-8")
    assert all(html.escape(note) in page or note in page for note in facts["notes"])
