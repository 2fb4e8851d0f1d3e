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
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase

from mixmerge.errors import DataError
from mixmerge.evaluate.journal import Journal
from mixmerge.evaluate.loaded_model import LoadedModel
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
    model: Path | LoadedModel,
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
        model: a Hugging Face folder with tokenizer and chat template; as a `LoadedModel`, several
            calls share the loaded weights.
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
    loaded = LoadedModel(model) if isinstance(model, Path) else model
    encoded = _encode(prompts, loaded.tokenizer)
    _check_context(encoded, decoding, loaded.folder)
    batches = _batches(encoded, batch_size)
    stamp = _stamp(loaded.folder)
    keys = [
        fingerprint([stamp, decoding.model_dump(), [[e.prompt.id, e.ids] for e in batch]])
        for batch in batches
    ]
    answers: dict[str, Response] = {}
    journal_path = out.with_name(out.name + ".journal")
    with Journal(journal_path) as journal:
        for key, batch in zip(keys, batches, strict=True):
            if key not in journal.finished:
                with _cpu_threads(threads):
                    made = _answer(batch, loaded, decoding)
                journal.append(key, [response.model_dump() for response in made])
            for row in journal.finished[key]:
                response = Response.model_validate(row)
                answers[response.prompt] = response
            progress(len(answers), len(prompts), "answers")
    responses = [answers[prompt.id] for prompt in prompts]
    write_rows(out, responses)
    journal_path.unlink()
    return responses


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


def _answer(
    batch: Sequence[_Encoded], loaded: LoadedModel, decoding: DecodingSpec
) -> list[Response]:
    """Answer one batch of prompts."""
    ends, device = loaded.end_tokens, loaded.network.device
    width = max(len(item.ids) for item in batch)
    ids = torch.full((len(batch), width), ends[0])
    mask = torch.zeros_like(ids)
    for row, item in enumerate(batch):
        ids[row, width - len(item.ids) :] = torch.tensor(item.ids)
        mask[row, width - len(item.ids) :] = 1
    processors = LogitsProcessorList()
    if not decoding.greedy:
        texts = [item.prompt.text for item in batch]
        processors.append(KeyedSampling(decoding, texts, start=width))
    # The folder's own sampling settings would otherwise fill in what is left at its default.
    loaded.network.generation_config = GenerationConfig(
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        eos_token_id=ends,
        pad_token_id=ends[0],
    )
    with torch.inference_mode():
        output = loaded.network.generate(
            ids.to(device), attention_mask=mask.to(device), logits_processor=processors
        )
    new = output[:, width:].tolist()
    return [_response(item, tokens, loaded) for item, tokens in zip(batch, new, strict=True)]


def _response(item: _Encoded, tokens: list[int], loaded: LoadedModel) -> Response:
    end = next((i for i, token in enumerate(tokens) if token in loaded.end_tokens), None)
    kept = tokens if end is None else tokens[:end]
    return Response(
        prompt=item.prompt.id,
        text=loaded.tokenizer.decode(kept, skip_special_tokens=True),
        finish_reason="length" if end is None else "stop",
        tokens=len(tokens) if end is None else end + 1,
    )
