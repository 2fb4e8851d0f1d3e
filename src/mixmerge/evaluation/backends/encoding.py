"""Encode prompts and decode answers, the same for all local backends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixmerge.chat.answers import read_answer
from mixmerge.chat.chat import Chat
from mixmerge.chat.sandbox import RefusedError
from mixmerge.chat.thoughts import opens_thoughts
from mixmerge.errors import DataError
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.records import Prompt, Response


@dataclass(frozen=True)
class Encoded:
    """A prompt as tokens."""

    prompt: Prompt
    ids: list[int]
    thinks: bool
    """Whether the prompt ends inside a reasoning block, so that the answer begins in it."""


def encode(prompts: Sequence[Prompt], model: LoadedModel, decoding: DecodingSpec) -> list[Encoded]:
    """Apply the model's chat template to prompts and tokenize them.

    Raises:
        DataError: a prompt and its answer do not fit into the model's context, or the chat
            template refuses the prompt.
        ModelError: the tokenizer cannot be loaded, or has no chat template.
    """
    if not prompts:
        return []
    chat = model.chat(decoding.chat_template)
    texts = [_text(prompt, chat) for prompt in prompts]
    rows = [chat.tokens(text) for text in texts]
    for prompt, ids in zip(prompts, rows, strict=True):
        needed = len(ids) + decoding.max_new_tokens
        if model.context is not None and needed > model.context:
            raise DataError(
                f"prompt {prompt.id!r} ({prompt.language}): {len(ids)} tokens and "
                f"{decoding.max_new_tokens} new ones need {needed}, but the context of "
                f"{model.folder.path} is {model.context}. Remove the prompt or lower "
                "`max_new_tokens`."
            )
    thinks = map(opens_thoughts, texts)
    return [Encoded(*each) for each in zip(prompts, rows, thinks, strict=True)]


def _text(prompt: Prompt, chat: Chat) -> str:
    try:
        return chat.prompt([message.model_dump() for message in prompt.messages])
    except RefusedError as error:
        raise DataError(
            f"prompt {prompt.id!r} ({prompt.language}): the chat template of {chat.model} "
            f"refuses its messages: {error}. Remove the prompt or change the order of its messages."
        ) from error


def response(item: Encoded, tokens: Sequence[int], model: LoadedModel) -> Response:
    """Return the answer in new tokens; see `mixmerge.chat.answers.read_answer`."""
    written = read_answer(tokens, model.tokenizer, model.end_tokens, opened=item.thinks)
    return Response(
        prompt=item.prompt.id,
        text=written.text,
        thoughts=written.thoughts,
        finish_reason="stop" if written.ended else "length",
        tokens=written.tokens,
    )


def stamp(model: LoadedModel) -> list[Any]:
    """Identify the weights without reading them, which suffices for a journal's short life."""
    return [
        [file.name, file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(model.folder.path.iterdir())
        if file.is_file()
    ]
