"""Answers of a model on disk: transformers, in batches by length, resumable.

Decoding is deterministic: batches are made from the whole list of prompts (what an earlier,
interrupted run finished changes none of them), and sampling draws each prompt's own random
numbers from the seed and the prompt, never from a shared generator.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from mixmerge.errors import DataError, ModelError
from mixmerge.evaluate.journal import Journal
from mixmerge.evaluate.sampling import KeyedSampling
from mixmerge.evaluate.spec import DecodingSpec
from mixmerge.files import write_rows
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import ModelFolder, Prompt, Response


@dataclass(frozen=True)
class _Encoded:
    """A prompt as the model reads it."""

    prompt: Prompt
    ids: list[int]


def generate(
    model: Path,
    prompts: Sequence[Prompt],
    decoding: DecodingSpec,
    out: Path,
    *,
    batch_size: int = 128,
    threads: int = 1,
    progress: Progress = silent,
) -> list[Response]:
    """Let a model answer prompts, and write the answers as JSON Lines.

    Finished batches are kept in a journal beside ``out`` until all are done: after an
    interruption the same call goes on with the batches that are missing.

    Args:
        model: a Hugging Face folder with tokenizer and chat template.
        prompts: what to ask; answers come back in this order.
        decoding: how answers are decoded.
        out: the file to write.
        batch_size: prompts answered at once. Another size gives the same answers up to the
            rounding of floating-point sums.
        threads: CPU threads.
        progress: hears of every finished batch.

    Raises:
        DataError: a prompt does not fit into the model's context; the message names it.
        ModelError: the folder is incomplete, or tokenizer and weights do not fit together.
    """
    repeated = [name for name, n in Counter(prompt.id for prompt in prompts).items() if n > 1]
    if repeated:
        raise DataError(f"Two prompts have the id {repeated[0]!r}; ids must be unique in a set.")
    folder = ModelFolder(model)
    tokenizer = _load_tokenizer(model)
    encoded = _encode(prompts, tokenizer)
    _check_context(encoded, decoding, folder)
    batches = _batches(encoded, batch_size)
    stamp = _stamp(folder)
    keys = [
        fingerprint([stamp, decoding.model_dump(), [[e.prompt.id, e.ids] for e in batch]])
        for batch in batches
    ]
    answers: dict[str, Response] = {}
    journal_path = out.with_name(out.name + ".journal")
    with Journal(journal_path) as journal:
        if any(key not in journal.finished for key in keys):
            answer = _Generator(model, tokenizer, decoding)
        for key, batch in zip(keys, batches, strict=True):
            if key not in journal.finished:
                with _cpu_threads(threads):
                    made = answer(batch)
                journal.append(key, [response.model_dump() for response in made])
            for row in journal.finished[key]:
                response = Response.model_validate(row)
                answers[response.prompt] = response
            progress(len(answers), len(prompts), "answers")
    responses = [answers[prompt.id] for prompt in prompts]
    write_rows(out, responses)
    journal_path.unlink()
    return responses


def _load_tokenizer(model: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{model}: the tokenizer cannot be loaded: {error}") from error
    if tokenizer.chat_template is None:
        raise ModelError(
            f"{model}: the tokenizer has no chat template, so a prompt cannot be asked the way "
            "the model was trained. Copy chat_template.jinja of the base model into the folder."
        )
    return tokenizer


def _encode(prompts: Sequence[Prompt], tokenizer: PreTrainedTokenizerBase) -> list[_Encoded]:
    if not prompts:
        return []
    chats = [[message.model_dump() for message in prompt.messages] for prompt in prompts]
    texts = tokenizer.apply_chat_template(chats, tokenize=False, add_generation_prompt=True)
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [_Encoded(prompt, ids) for prompt, ids in zip(prompts, rows, strict=True)]


def _check_context(
    encoded: Sequence[_Encoded], decoding: DecodingSpec, folder: ModelFolder
) -> None:
    config = folder.config
    context = config.get("max_position_embeddings") or config.get("n_positions")
    if context is None:
        return
    for item in encoded:
        needed = len(item.ids) + decoding.max_new_tokens
        if needed > context:
            raise DataError(
                f"prompt {item.prompt.id!r} ({item.prompt.language}): {len(item.ids)} tokens and "
                f"{decoding.max_new_tokens} new ones need {needed}, but the context of "
                f"{folder.path} is {context}. Remove the prompt or lower `max_new_tokens`."
            )


def _batches(encoded: Sequence[_Encoded], size: int) -> list[list[_Encoded]]:
    """Group prompts of similar length, the longest first: what does not fit fails at once."""
    ordered = sorted(encoded, key=lambda item: (-len(item.ids), item.prompt.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _stamp(folder: ModelFolder) -> list[Any]:
    """Identify the weights without reading them: a journal only lives between two attempts."""
    return [
        [file.name, file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(folder.path.iterdir())
        if file.is_file()
    ]


@contextmanager
def _cpu_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Generator:
    """A loaded model that answers batches."""

    def __init__(
        self, model: Path, tokenizer: PreTrainedTokenizerBase, decoding: DecodingSpec
    ) -> None:
        self._tokenizer = tokenizer
        self._decoding = decoding
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _load_model(model, self._device)
        if len(tokenizer) > self._model.get_input_embeddings().num_embeddings:
            raise ModelError(
                f"{model}: the tokenizer has {len(tokenizer)} tokens but the model only "
                f"{self._model.get_input_embeddings().num_embeddings}; they do not belong together."
            )
        self._ends = _end_tokens(self._model, tokenizer)
        if not self._ends:
            raise ModelError(
                f"{model}: neither generation_config.json nor the tokenizer names an end-of-turn "
                "token (eos_token), so no answer would ever end."
            )
        # The folder's own sampling settings would otherwise fill in what is left at its default.
        self._model.generation_config = GenerationConfig(
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            eos_token_id=self._ends,
            pad_token_id=self._ends[0],
        )

    def __call__(self, batch: Sequence[_Encoded]) -> list[Response]:
        """Answer one batch."""
        width = max(len(item.ids) for item in batch)
        ids = torch.full((len(batch), width), self._ends[0])
        mask = torch.zeros_like(ids)
        for row, item in enumerate(batch):
            ids[row, width - len(item.ids) :] = torch.tensor(item.ids)
            mask[row, width - len(item.ids) :] = 1
        processors = LogitsProcessorList()
        if not self._decoding.greedy:
            texts = [item.prompt.text for item in batch]
            processors.append(KeyedSampling(self._decoding, texts, start=width))
        with torch.inference_mode():
            output = self._model.generate(
                ids.to(self._device),
                attention_mask=mask.to(self._device),
                logits_processor=processors,
            )
        new = output[:, width:].tolist()
        return [self._response(item, tokens) for item, tokens in zip(batch, new, strict=True)]

    def _response(self, item: _Encoded, tokens: list[int]) -> Response:
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        kept = tokens if end is None else tokens[:end]
        return Response(
            prompt=item.prompt.id,
            text=self._tokenizer.decode(kept, skip_special_tokens=True),
            finish_reason="length" if end is None else "stop",
            tokens=len(tokens) if end is None else end + 1,
        )


def _load_model(path: Path, device: torch.device) -> PreTrainedModel:
    on_gpu = device.type == "cuda"
    dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{path}: the weights cannot be loaded: {error}") from error
    return model.to(device).eval()


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    named = model.generation_config.eos_token_id
    ends = [] if named is None else named if isinstance(named, list) else [named]
    if tokenizer.eos_token_id is not None:
        ends = [*ends, tokenizer.eos_token_id]
    return list(dict.fromkeys(ends))
