"""A model folder loaded for generation, once for all that is asked of it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from mixmerge.errors import ModelError
from mixmerge.files import read_json
from mixmerge.records import ModelFolder


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder.

    Raises:
        ModelError: it cannot be loaded.
    """
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: the tokenizer cannot be loaded: {error}") from error


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

    @property
    def context(self) -> int | None:
        """The most tokens that the model can read and write together, where it says so."""
        config = self.folder.config
        longest: int | None = config.get("max_position_embeddings") or config.get("n_positions")
        return longest

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, which has a chat template."""
        path = self.folder.path
        tokenizer = load_tokenizer(path)
        if tokenizer.chat_template is None:
            raise ModelError(
                f"{path}: the tokenizer has no chat template, so a prompt cannot be asked the way "
                "the model was trained. Copy chat_template.jinja of the base model into the folder."
            )
        return tokenizer

    def chat(self, messages: list[dict[str, str]]) -> str:
        """Write messages in the chat template, up to where the answer begins.

        Raises:
            jinja2.TemplateError: the template refuses these messages.
        """
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return str(text)

    @cached_property
    def network(self) -> PreTrainedModel:
        """The weights, on the GPU where there is one."""
        path = self.folder.path
        on_gpu = torch.cuda.is_available()
        dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
        transformers_logging.disable_progress_bar()
        try:
            network = AutoModelForCausalLM.from_pretrained(path, dtype=dtype, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{path}: the weights cannot be loaded: {error}") from error
        rows = network.get_input_embeddings().num_embeddings
        if len(self.tokenizer) > rows:
            raise ModelError(
                f"{path}: the tokenizer has {len(self.tokenizer)} tokens but the model only "
                f"{rows}; they do not belong together."
            )
        return network.to("cuda" if on_gpu else "cpu").eval()

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token rows, padded on the left, and their mask, each of shape (rows, longest)."""
        width = max(map(len, rows))
        ids = torch.full((len(rows), width), self.end_tokens[0])
        mask = torch.zeros_like(ids)
        for index, tokens in enumerate(rows):
            ids[index, width - len(tokens) :] = torch.tensor(tokens)
            mask[index, width - len(tokens) :] = 1
        return ids.to(self.network.device), mask.to(self.network.device)

    @cached_property
    def end_tokens(self) -> list[int]:
        """Tokens that end an answer: the generation config's, and the tokenizer's own."""
        path = self.folder.path / "generation_config.json"
        settings = read_json(path) if path.is_file() else self.folder.config
        named = settings.get("eos_token_id")
        ends = [] if named is None else named if isinstance(named, list) else [named]
        if self.tokenizer.eos_token_id is not None:
            ends = [*ends, self.tokenizer.eos_token_id]
        if not ends:
            raise ModelError(
                f"{self.folder.path}: neither generation_config.json nor the tokenizer names an "
                "end-of-turn token (eos_token), so no answer would ever end."
            )
        return list(dict.fromkeys(ends))
