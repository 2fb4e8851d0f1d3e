"""Answers by transformers, in batches by length.

Results are reproducible: batches are made from the whole list of prompts, whatever an interrupted
run has finished, and each prompt has its own random numbers from the seed and the prompt.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from mixmerge.evaluation.backends.encoding import Encoded, encode, response, stamp
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.sampling import KeyedSampling
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.execution.environment import cpu_threads
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


@dataclass(frozen=True)
class TransformersBackend:
    """A model that transformers runs; see `mixmerge.evaluation.backends.make.Backend`."""

    model: LoadedModel
    """Loaded when it is first needed, and kept by the caller."""
    batch_size: int = 128
    """Prompts per batch. It changes answers only through the rounding of floating-point sums."""
    threads: int = 1
    """CPU threads."""

    @property
    def stamp(self) -> Any:
        """Names, sizes and times of the model's files."""
        return stamp(self.model)

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield the answers of every batch in which one is missing."""
        del progress  # the caller reports every batch
        encoded = encode(prompts, self.model, decoding)
        # The longest first, so that a lack of memory shows at once.
        ordered = sorted(encoded, key=lambda item: (-len(item.ids), item.prompt.id))
        for start in range(0, len(ordered), self.batch_size):
            batch = ordered[start : start + self.batch_size]
            if any(item.prompt.id in missing for item in batch):
                with cpu_threads(self.threads):
                    made = _answer(batch, self.model, decoding)
                yield made

    def close(self) -> None:
        """Do nothing: the caller owns the weights."""


def _answer(
    batch: Sequence[Encoded], loaded: LoadedModel, decoding: DecodingSpec
) -> list[Response]:
    """Answer one batch of prompts."""
    ids, mask = loaded.padded([item.ids for item in batch])
    width = ids.shape[1]
    processors = LogitsProcessorList()
    if not decoding.greedy:
        texts = [item.prompt.text for item in batch]
        processors.append(KeyedSampling(decoding, texts, start=width))
    # Otherwise the model folder's sampling settings would replace the defaults.
    loaded.network.generation_config = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        eos_token_id=loaded.end_tokens,
        pad_token_id=loaded.end_tokens[0],
    )
    with torch.inference_mode():
        output = loaded.network.generate(ids, attention_mask=mask, logits_processor=processors)
    new = output[:, width:].tolist()
    return [response(item, tokens, loaded) for item, tokens in zip(batch, new, strict=True)]
