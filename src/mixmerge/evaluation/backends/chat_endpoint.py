"""Answers from an OpenAI-compatible endpoint that serves the model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from mixmerge.errors import ResourceError
from mixmerge.evaluation.calls.endpoint import ChatEndpoint
from mixmerge.evaluation.calls.refusal import FILTERED
from mixmerge.evaluation.calls.reply import Reply
from mixmerge.evaluation.generate_spec import EndpointModelSpec
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


class EndpointBackend:
    """A served model; see `mixmerge.evaluation.backends.make.Backend`.

    The endpoint applies the chat template and stop tokens, so it must serve the checkpoint's own.
    """

    def __init__(self, spec: EndpointModelSpec, calls: Path) -> None:
        """Read the key from the environment; calls in the file ``calls`` are not made again.

        Raises:
            SpecError: the environment variable of the key is not set.
        """
        self._spec = spec
        self._endpoint = ChatEndpoint(spec, calls)

    @property
    def stamp(self) -> Any:
        """The served model's name and the fields of every request."""
        return self._spec.identity()

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield the missing answers.

        Raises:
            ResourceError: calls failed; the answers to the others are kept.
            SpecError: the endpoint refuses the key or does not know the model.
        """
        asked = [prompt for prompt in prompts if prompt.id in missing]
        replies = self._endpoint.ask(
            lambda: (request_of(prompt, decoding) for prompt in asked), progress, what="answers"
        )
        failed: list[str] = []
        for prompt, reply in zip(asked, replies, strict=True):
            if reply.error is not None:
                failed.append(reply.error)
            else:
                yield [_response(prompt, reply)]
        if failed:
            raise ResourceError(
                f"{len(failed)} of {len(asked)} answers of {self._spec.model} failed "
                f"({failed[0]}). Run the same command again to repeat only these."
            )

    def close(self) -> None:
        """Do nothing: `answers` closes its connections."""


def request_of(prompt: Prompt, decoding: DecodingSpec) -> dict[str, Any]:
    """Return the request that asks a served model for its answer to a prompt."""
    request: dict[str, Any] = {
        "messages": [message.model_dump() for message in prompt.messages],
        "max_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
    }
    if not decoding.greedy:
        request |= {"top_p": decoding.top_p, "seed": decoding.seed_of(prompt.text)}
    if decoding.chat_template:  # the field of vLLM, SGLang and llama.cpp
        request["chat_template_kwargs"] = dict(decoding.chat_template)
    return request


def _response(prompt: Prompt, reply: Reply) -> Response:
    ended: Literal["stop", "length"] = "length" if reply.finish_reason == "length" else "stop"
    return Response(
        prompt=prompt.id,
        text="" if reply.finish_reason == FILTERED else reply.text,
        thoughts=reply.thoughts,
        finish_reason="filter" if reply.refused else ended,
        tokens=reply.output_tokens or 0,
    )
