"""A model folder loaded for inference."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from mixmerge.chat.chat import Chat
from mixmerge.chat.tokenizer import context_length, load_tokenizer, stop_tokens
from mixmerge.errors import ModelError
from mixmerge.fingerprint import fingerprint
from mixmerge.records import ModelFolder


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Say in the step's log that weights were loaded and how long it took; no progress bar."""
    transformers_logging.disable_progress_bar()
    start = time.monotonic()
    yield
    print(f"loaded {folder} in {time.monotonic() - start:.2f} s", file=sys.stderr)  # noqa: T201


def device_and_dtype() -> tuple[str, str]:
    """Return where models run here, and in which type: on the GPU in bfloat16 if there is one."""
    if not torch.cuda.is_available():
        return "cpu", "float32"
    return "cuda", "bfloat16" if torch.cuda.is_bf16_supported() else "float32"


class LoadedModel:
    """Tokenizer and weights of a model folder, each loaded when it is first needed.

    Weights are bfloat16 on a GPU that has it and float32 elsewhere.
    """

    def __init__(self, path: Path) -> None:
        """Check the folder without loading anything.

        Raises:
            ModelError: the folder is not a complete model.
        """
        self.folder = ModelFolder(path)
        self._chats: dict[str, Chat] = {}

    @property
    def context(self) -> int | None:
        """The model's context length in tokens, if its configuration has one."""
        return context_length(self.folder.config)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer."""
        return load_tokenizer(self.folder.path)

    def chat(self, options: Mapping[str, Any] | None = None) -> Chat:
        """Return the model's chat with these options of its chat template.

        Raises:
            ModelError: the tokenizer cannot be loaded, or has no chat template.
        """
        key = fingerprint(options or {})
        if key not in self._chats:
            self._chats[key] = Chat(self.tokenizer, str(self.folder.path), options or {})
        return self._chats[key]

    @cached_property
    def network(self) -> PreTrainedModel:
        """The weights, on the GPU if there is one."""
        path = self.folder.path
        device, dtype = device_and_dtype()
        with loading(path):
            try:
                network = AutoModelForCausalLM.from_pretrained(
                    path, dtype=dtype, local_files_only=True, trust_remote_code=False
                )
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                raise ModelError(f"{path}: the weights cannot be loaded: {error}") from error
            network = network.to(device).eval()
        rows = network.get_input_embeddings().num_embeddings
        if len(self.tokenizer) > rows:
            raise ModelError(
                f"{path}: the tokenizer has {len(self.tokenizer)} tokens but the model only "
                f"{rows}; they do not belong together."
            )
        return network

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token rows, left-padded, and their mask, both of shape (rows, longest)."""
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.end_tokens[0])
        mask = torch.zeros_like(ids)
        for index, tokens in enumerate(rows):
            ids[index, width - len(tokens) :] = torch.tensor(tokens)
            mask[index, width - len(tokens) :] = 1
        return ids.to(self.network.device), mask.to(self.network.device)

    @cached_property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer: those in the model's files, and the template's end of turn.

        The files of a base model often name only the end-of-text token, while its chat template
        ends turns with another one.
        """
        ends = stop_tokens(self.folder.path, self.folder.config, self.tokenizer)
        turn = self.chat().end_of_turn
        if turn is not None:
            ends = [*ends, turn]
        if not ends:
            raise ModelError(
                f"{self.folder.path}: neither generation_config.json nor the tokenizer has an "
                "end-of-turn token (eos_token), so no answer would ever end."
            )
        return list(dict.fromkeys(ends))
