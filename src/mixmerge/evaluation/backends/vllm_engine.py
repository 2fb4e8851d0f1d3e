"""Answers by vLLM's offline engine.

Prompts are encoded and answers decoded by `encoding`, the same for every backend. vLLM samples with
a seed per prompt, but its random numbers are not those of the transformers backend.
"""

import gc
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mixmerge.errors import ModelError, ResourceError
from mixmerge.evaluation.backends.encoding import encode, response, stamp
from mixmerge.evaluation.generate_spec import VllmSpec
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


@dataclass(frozen=True)
class VllmBackend:
    """A model that vLLM runs; see `mixmerge.evaluation.backends.make.Backend`.

    The engine starts when the first answer is needed.
    """

    model: LoadedModel
    """Only its tokenizer and configuration are used."""
    spec: VllmSpec

    @property
    def stamp(self) -> Any:
        """The model's files and the settings that change answers."""
        return [stamp(self.model), self.spec.identity()]

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield the missing answers, `VllmSpec.save_every` at a time."""
        del progress  # the caller reports every batch
        encoded = encode([p for p in prompts if p.id in missing], self.model, decoding)
        for start in range(0, len(encoded), self.spec.save_every):
            some = encoded[start : start + self.spec.save_every]
            made = self._engine.generate(
                [{"prompt_token_ids": item.ids} for item in some],
                [self._sampling(item.prompt, decoding) for item in some],
                use_tqdm=False,
            )
            yield [
                response(item, list(output.outputs[0].token_ids), self.model)
                for item, output in zip(some, made, strict=True)
            ]

    def close(self) -> None:
        """Stop the engine, to free the GPUs' memory for the next checkpoint."""
        engine = self.__dict__.pop("_engine", None)
        if engine is not None:
            engine.llm_engine.engine_core.shutdown()
            del engine
            gc.collect()

    @cached_property
    def _engine(self) -> Any:
        vllm = _vllm()
        try:
            return vllm.LLM(
                model=str(self.model.folder.path),
                tensor_parallel_size=self.spec.tensor_parallel,
                dtype=self.spec.dtype,
                gpu_memory_utilization=self.spec.memory,
                trust_remote_code=False,
                # Not the model folder's sampling settings: all models are decoded alike.
                generation_config="vllm",
            )
        except (ValueError, RuntimeError, OSError) as error:
            path = self.model.folder.path
            raise ModelError(f"{path}: vLLM cannot load the model: {error}") from error

    def _sampling(self, prompt: Prompt, decoding: DecodingSpec) -> Any:
        return _vllm().SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_new_tokens,
            seed=None if decoding.greedy else decoding.seed_of(prompt.text),
            stop_token_ids=self.model.end_tokens,
        )


def _vllm() -> Any:
    try:
        return importlib.import_module("vllm")
    except ImportError as error:
        raise ResourceError(
            f"generate: `backend: vllm` needs vLLM, which cannot be imported here ({error}). "
            "Install it (pip install vllm; Linux with a GPU), or remove `backend` to use "
            "transformers."
        ) from error
