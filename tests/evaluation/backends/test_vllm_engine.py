"""vLLM's offline engine, by a stand-in with its signatures: vLLM itself needs a GPU."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from mixmerge.errors import DataError, ModelError, ResourceError
from mixmerge.evaluation.backends.hugging_face import TransformersBackend
from mixmerge.evaluation.backends.vllm_engine import VllmBackend
from mixmerge.evaluation.generate import generate
from mixmerge.evaluation.generate_spec import VllmSpec
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.records import Message, Prompt, Response

GREEDY = DecodingSpec(max_new_tokens=6)
SAMPLED = DecodingSpec(max_new_tokens=6, temperature=0.7, top_p=0.9, seed=3)


@dataclass(kw_only=True)
class SamplingParams:
    """The parameters of vLLM's class that are used here, with its defaults."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = 16
    seed: int | None = None
    stop_token_ids: list[int] | None = None


class LLM:
    """Takes what vLLM's class takes, and answers greedily through transformers."""

    made: list["LLM"]

    def __init__(
        self,
        model: str,
        *,
        tensor_parallel_size: int = 1,
        dtype: str = "auto",
        seed: int = 0,
        gpu_memory_utilization: float = 0.9,
        generation_config: str = "auto",
        trust_remote_code: bool = True,
    ) -> None:
        if "unloadable" in model:
            raise ValueError("no such architecture")
        self.model = LoadedModel(Path(model))
        self.asked = (tensor_parallel_size, dtype, gpu_memory_utilization, generation_config)
        assert not trust_remote_code
        self.calls: list[tuple[list[list[int]], list[SamplingParams]]] = []
        self.stopped = False
        self.llm_engine = SimpleNamespace(engine_core=SimpleNamespace(shutdown=self._stop))
        type(self).made.append(self)

    def _stop(self) -> None:
        self.stopped = True

    def generate(
        self,
        prompts: Sequence[dict[str, list[int]]],
        sampling_params: Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool = True,
    ) -> list[Any]:
        assert not use_tqdm
        assert sampling_params is not None
        rows = [prompt["prompt_token_ids"] for prompt in prompts]
        self.calls.append((rows, list(sampling_params)))
        outputs = []
        for ids, params in zip(rows, sampling_params, strict=True):
            new = self._greedy(ids, params)
            outputs.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(new))]))
        return outputs

    def _greedy(self, ids: list[int], params: SamplingParams) -> list[int]:
        new: list[int] = []
        while len(new) < (params.max_tokens or 0):
            with torch.no_grad():
                logits = self.model.network(torch.tensor([ids + new])).logits[0, -1]
            new.append(int(logits.argmax()))
            if new[-1] in (params.stop_token_ids or []):  # vLLM keeps the token that stops
                break
        return new


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[LLM]:
    """Install the stand-in and return the engines that it makes."""
    LLM.made = []
    module = ModuleType("vllm")
    module.__dict__.update(LLM=LLM, SamplingParams=SamplingParams)
    monkeypatch.setitem(sys.modules, "vllm", module)
    return LLM.made


def backend(model: Path, **settings: Any) -> VllmBackend:
    return VllmBackend(LoadedModel(model), VllmSpec(backend="vllm", **settings))


def test_greedy_answers_are_those_of_transformers(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """The same tokens are read and the same ends of turn honoured, so the answers are the same."""
    reference = TransformersBackend(LoadedModel(tiny_model))
    expected = generate(reference, questions, GREEDY, tmp_path / "a.jsonl")
    made = generate(backend(tiny_model), questions, GREEDY, tmp_path / "b.jsonl")
    assert made == expected
    assert len(engines) == 1


def test_the_engine_is_asked_as_the_specification_says(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """GPUs, memory and dtype reach the engine; the folder's own sampling settings do not."""
    made = backend(tiny_model, tensor_parallel=4, memory=0.5, dtype="float16", save_every=5)
    generate(made, questions, GREEDY, tmp_path / "a.jsonl")
    (engine,) = engines
    assert engine.asked == (4, "float16", 0.5, "vllm")
    assert [len(rows) for rows, _ in engine.calls] == [5, 5, 2]
    params = engine.calls[0][1][0]
    assert (params.temperature, params.max_tokens, params.seed) == (0, 6, None)
    assert params.stop_token_ids == [1]


def test_sampling_has_a_seed_for_each_prompt(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """A prompt's seed depends on the decoding's seed and its text, not on its neighbours."""
    generate(backend(tiny_model), questions, SAMPLED, tmp_path / "a.jsonl")
    generate(backend(tiny_model), questions[3:4], SAMPLED, tmp_path / "b.jsonl")
    first, second = (engine.calls[0][1] for engine in engines)
    assert first[3] == second[0]
    assert (first[3].temperature, first[3].top_p) == (0.7, 0.9)
    assert len({params.seed for params in first}) == len({p.text for p in questions})
    other = SAMPLED.model_copy(update={"seed": 4})
    assert other.seed_of(questions[0].text) != SAMPLED.seed_of(questions[0].text)
    assert 0 <= SAMPLED.seed_of(questions[0].text) < 2**31


def test_only_missing_prompts_are_asked(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """After an interruption the engine gets what the journal does not hold."""

    def interrupt(done: float, total: float, what: str) -> None:
        raise KeyboardInterrupt(f"at {done} of {total} {what}")

    out = tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt, match="at 5 of 12 answers"):
        generate(backend(tiny_model, save_every=5), questions, GREEDY, out, progress=interrupt)
    made = generate(backend(tiny_model, memory=0.3), questions, GREEDY, out)
    assert [len(rows) for rows, _ in engines[1].calls] == [7]
    assert [answer.prompt for answer in made] == [prompt.id for prompt in questions]


def test_closing_stops_the_engine(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """One engine serves several sets; closed, its memory is free for the next checkpoint's."""
    made = backend(tiny_model)
    made.close()
    assert engines == []
    generate(made, questions[:2], GREEDY, tmp_path / "a.jsonl")
    generate(made, questions[2:4], GREEDY, tmp_path / "b.jsonl")
    assert len(engines) == 1
    made.close()
    assert engines[0].stopped


def test_what_cannot_run_is_said(
    tiny_model: Path,
    questions: list[Prompt],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engines: list[LLM],
) -> None:
    """No vLLM, a model that it cannot load, and a prompt that is too long give one message each."""
    long = questions[0].model_copy(
        update={"id": "long", "messages": (Message(role="user", content="x" * 200),)}
    )
    with pytest.raises(DataError, match="prompt 'long'"):
        generate(backend(tiny_model), [long], GREEDY, tmp_path / "a.jsonl")
    assert engines == []
    unloadable = tmp_path / "unloadable"
    unloadable.symlink_to(tiny_model)
    with pytest.raises(ModelError, match="unloadable: vLLM cannot load the model: no such arch"):
        generate(backend(unloadable), questions, GREEDY, tmp_path / "a.jsonl")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        ResourceError, match=r"needs vLLM, which cannot be imported.*pip install vllm"
    ):
        generate(backend(tiny_model), questions, GREEDY, tmp_path / "a.jsonl")


def test_dtype_is_meaning_and_speed_is_not(tiny_model: Path) -> None:
    """A journal made with another dtype is another model's; one made on other GPUs is not."""
    one, spread = backend(tiny_model), backend(tiny_model, tensor_parallel=8, memory=0.5)
    assert one.stamp == spread.stamp
    assert one.stamp != backend(tiny_model, dtype="float16").stamp


def test_an_empty_answer_counts_its_end(
    tiny_model: Path, questions: list[Prompt], tmp_path: Path, engines: list[LLM]
) -> None:
    """A model that stops at once gives an empty text and one token."""

    class Silent(LLM):
        def _greedy(self, ids: list[int], params: SamplingParams) -> list[int]:
            return [1]

    sys.modules["vllm"].__dict__["LLM"] = Silent
    Silent.made = engines
    (answer,) = generate(backend(tiny_model), questions[:1], GREEDY, tmp_path / "a.jsonl")
    assert answer == Response(prompt="q0", text="", finish_reason="stop", tokens=1)
