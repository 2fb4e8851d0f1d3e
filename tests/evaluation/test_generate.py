"""Answers are those of decoding each prompt alone, whatever the batch, order or interruption."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mixmerge.errors import DataError, ModelError
from mixmerge.evaluation.backends.hugging_face import TransformersBackend
from mixmerge.evaluation.generate import generate as run
from mixmerge.evaluation.generate import remove_journals
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.files import read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Message, Prompt, Response

GREEDY = DecodingSpec(max_new_tokens=12)
SAMPLED = DecodingSpec(max_new_tokens=12, temperature=0.8, top_p=0.9, seed=3)


def generate(
    model: Path | LoadedModel,
    prompts: list[Prompt],
    decoding: DecodingSpec,
    out: Path,
    *,
    batch_size: int = 128,
    progress: Progress = silent,
) -> list[Response]:
    loaded = LoadedModel(model) if isinstance(model, Path) else model
    backend = TransformersBackend(loaded, batch_size=batch_size)
    return run(backend, prompts, decoding, out, progress=progress)


def alone(model: Path, prompt: Prompt, steps: int) -> list[int]:
    """Decode one prompt greedily by the definition: no batch, no padding, no cache."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    chat = [message.model_dump() for message in prompt.messages]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    new: list[int] = []
    for _ in range(steps):
        with torch.no_grad():
            logits = network(torch.tensor([ids + new])).logits[0, -1]
        new.append(int(logits.argmax()))
    return new


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_greedy_answers_are_those_of_each_prompt_alone(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, batch_size: int
) -> None:
    """Batching, padding and caching change no answer, and answers keep the prompts' order."""
    made = generate(tiny_model, questions, GREEDY, tmp_path / "a.jsonl", batch_size=batch_size)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert [answer.prompt for answer in made] == [prompt.id for prompt in questions]
    for prompt, answer in zip(questions[::4], made[::4], strict=True):
        tokens = alone(tiny_model, prompt, GREEDY.max_new_tokens)
        assert answer.text == tokenizer.decode(tokens, skip_special_tokens=True)
        assert (answer.finish_reason, answer.tokens) == ("length", 12)
    assert read_rows(tmp_path / "a.jsonl", Response) == made


def test_an_answer_stops_at_any_end_token(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Tokens after the end of turn are not part of the answer; the end counts as one token."""
    tokens = alone(tiny_model, questions[0], 12)
    end = tokens[3]
    model = shutil.copytree(tiny_model, tmp_path / "model")
    settings = {"eos_token_id": [1, end], "do_sample": True, "temperature": 0.3, "min_length": 99}
    (model / "generation_config.json").write_text(json.dumps(settings))
    answer = generate(model, questions, GREEDY, tmp_path / "a.jsonl")[0]
    kept = tokens[: tokens.index(end)]
    assert answer.text == AutoTokenizer.from_pretrained(model).decode(kept)
    assert (answer.finish_reason, answer.tokens) == ("stop", len(kept) + 1)


def test_sampling_depends_on_seed_and_prompt_only(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Other prompts, their order and the batch size change no sampled answer; the seed does."""
    out = tmp_path / "a.jsonl"
    made = {answer.prompt: answer for answer in generate(tiny_model, questions, SAMPLED, out)}
    some = generate(tiny_model, questions[::-3], SAMPLED, out, batch_size=2)
    assert all(made[answer.prompt] == answer for answer in some)
    other_seed = SAMPLED.model_copy(update={"seed": 4})
    other = generate(tiny_model, questions, other_seed, out)
    assert sum(made[answer.prompt].text != answer.text for answer in other) > 6


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tiny_model: Path,
    questions: list[Prompt],
    tmp_path: Path,
    decoding: DecodingSpec,
) -> None:
    """After an interruption only missing batches are generated, and the file is the same."""
    out, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    generate(tiny_model, questions, decoding, whole, batch_size=3)

    def interrupt(done: float, total: float, what: str) -> None:
        if done == 6:
            raise KeyboardInterrupt(f"at {done} of {total} {what}")

    with pytest.raises(KeyboardInterrupt, match="at 6 of 12 answers"):
        generate(tiny_model, questions, decoding, out, batch_size=3, progress=interrupt)
    assert not out.exists()
    journal = tmp_path / "a.jsonl.journal"
    assert journal.read_bytes().count(b"\n") == 6
    seen: list[bytes] = []
    generate(
        tiny_model,
        questions,
        decoding,
        out,
        batch_size=3,
        progress=lambda done, total, what: seen.append(journal.read_bytes()),  # noqa: ARG005
    )
    # Two batches are in the journal, which then grows by the other two only.
    assert [lines.count(b"\n") for lines in seen] == [9, 12]
    assert out.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_a_prompt_that_does_not_fit_is_named(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Prompt and new tokens beyond the context are refused before anything is generated."""
    long = questions[0].model_copy(
        update={"id": "long", "messages": (Message(role="user", content="x" * 114),)}
    )
    fits = long.model_copy(update={"messages": (Message(role="user", content="x" * 112),)})
    with pytest.raises(DataError, match=r"prompt 'long' \(en\): 118 tokens and 12 .* is 128"):
        generate(tiny_model, [*questions, long], GREEDY, tmp_path / "a.jsonl")
    assert len(generate(tiny_model, [fits], GREEDY, tmp_path / "a.jsonl")) == 1


def test_unusable_models_are_refused(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """No chat template, a tokenizer of another model and damaged weights each give one message."""
    out = tmp_path / "a.jsonl"
    no_template = shutil.copytree(tiny_model, tmp_path / "no_template")
    (no_template / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no_template: the tokenizer has no chat template"):
        generate(no_template, questions, GREEDY, out)
    larger = shutil.copytree(tiny_model, tmp_path / "larger")
    tokenizer = AutoTokenizer.from_pretrained(larger)
    tokenizer.add_tokens([f"<extra{index}>" for index in range(60)])
    tokenizer.save_pretrained(larger)
    with pytest.raises(ModelError, match="tokenizer has 320 tokens but the model only 300"):
        generate(larger, questions, GREEDY, out)
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="damaged: the weights cannot be loaded"):
        generate(damaged, questions, GREEDY, out)
    assert not out.exists()


def test_a_loaded_model_answers_several_sets(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Two calls share the loaded weights and answer as two loadings would."""
    out, loaded = tmp_path / "a.jsonl", LoadedModel(tiny_model)
    sampled = generate(loaded, questions, SAMPLED, out)
    weights = loaded.network
    assert generate(loaded, questions, GREEDY, out) == generate(tiny_model, questions, GREEDY, out)
    assert generate(tiny_model, questions, SAMPLED, out) == sampled
    assert loaded.network is weights


def test_no_prompts_need_no_model_run(tiny_model: Path, tmp_path: Path) -> None:
    """An empty list of prompts gives an empty file."""
    assert generate(tiny_model, [], GREEDY, tmp_path / "a.jsonl") == []
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_answers_are_kept_prompt_by_prompt(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """With more prompts and other batches, an interrupted run still asks only for what is missing.

    A batch that is half finished is read again whole, so that its sums stay the same, and the
    answers that were there stay as they were.
    """
    out, whole = tmp_path / "a.jsonl", tmp_path / "whole.jsonl"
    expected = {a.prompt: a for a in generate(tiny_model, questions, SAMPLED, whole)}

    def interrupt(done: float, total: float, what: str) -> None:
        raise KeyboardInterrupt(f"at {done} of {total} {what}")

    with pytest.raises(KeyboardInterrupt, match="at 3 of 6 answers"):
        generate(tiny_model, questions[:6], SAMPLED, out, batch_size=3, progress=interrupt)
    journal = tmp_path / "a.jsonl.journal"
    kept = journal.read_bytes()
    seen: list[bytes] = []
    made = generate(
        tiny_model,
        questions,
        SAMPLED,
        out,
        batch_size=5,
        progress=lambda done, total, what: seen.append(journal.read_bytes()),  # noqa: ARG005
    )
    assert made == [expected[prompt.id] for prompt in questions]
    assert seen[-1].startswith(kept)
    assert seen[-1].count(b"\n") == len(questions)


def test_two_prompts_with_one_id_are_refused(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Answers are found by id; two prompts that share one would share an answer."""
    with pytest.raises(DataError, match="Two prompts have the id 'q0'"):
        generate(tiny_model, [questions[0], questions[0]], GREEDY, tmp_path / "a.jsonl")


def test_a_template_that_refuses_a_prompt_is_one_message(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Many templates take no system message, or no two of one role: the prompt is named."""
    folder = shutil.copytree(tiny_model, tmp_path / "strict")
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}?"
    (folder / "chat_template.jinja").write_text(strict)
    system = (Message(role="system", content="Be kind."), *questions[1].messages)
    asked = [questions[0], questions[1].model_copy(update={"messages": system})]
    with pytest.raises(DataError, match=r"prompt 'q1' \(hi\): the chat template .* no system"):
        generate(folder, asked, GREEDY, tmp_path / "a.jsonl")


def test_a_model_whose_answers_never_end_is_refused(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """Without a token that ends a turn in any of its files, every answer would run to the limit."""
    endless = tmp_path / "endless"
    shutil.copytree(tiny_model, endless)
    for file in endless.glob("*.json"):
        text = json.loads(file.read_text())
        kept = {name: text[name] for name in text if not name.startswith("eos_token")}
        file.write_text(json.dumps(kept))
    template = endless / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|end|>", ""))
    with pytest.raises(ModelError, match=r"endless: neither .* so no answer would ever end"):
        generate(endless, questions, GREEDY, tmp_path / "a.jsonl")


def test_answers_are_kept_until_the_work_of_all_calls_is_done(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path
) -> None:
    """What was finished before a kill in a later call is not made again."""
    out, seen = tmp_path / "a.jsonl", list[float]()
    backend = TransformersBackend(LoadedModel(tiny_model))
    made = run(backend, questions, GREEDY, out, keep_journal=True)
    again = run(
        backend,
        questions,
        GREEDY,
        out,
        keep_journal=True,
        progress=lambda done, _total, _what: seen.append(done),
    )
    assert (again, seen) == (made, [])
    assert [file.name for file in tmp_path.iterdir() if file != out] == ["a.jsonl.journal"]
    remove_journals(tmp_path)
    assert [*tmp_path.iterdir()] == [out]
