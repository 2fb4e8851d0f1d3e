"""What every backend is, a model that answers prompts some at a time; and which one answers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mixmerge.errors import SpecError
from mixmerge.evaluation.generate_spec import EndpointModelSpec, GenerateSpec, VllmSpec
from mixmerge.evaluation.spec import DecodingSpec, GeneratePlacement
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


class Backend(Protocol):
    """One model, ready to answer. Decoding is the caller's, never the model folder's own."""

    @property
    def stamp(self) -> Any:
        """Plain data that tells one model and backend from another, for a journal of answers."""

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield answers, some at a time, as they are made.

        Args:
            prompts: all prompts of a set, also those that are answered already: whoever answers
                in batches makes the same batches again after an interruption.
            decoding: how answers are decoded.
            missing: ids of the prompts that need an answer; others may be answered too.
            progress: hears what happens before the first answer is yielded.

        Raises:
            DataError: a prompt does not fit into the model's context; the message names it.
            ModelError: the model cannot be loaded.
            ResourceError: the backend is not installed, or an endpoint fails.
        """

    def close(self) -> None:
        """Give memory back."""


def make_backend(
    spec: GenerateSpec,
    path: Path | None,
    *,
    calls: Path,
    placement: GeneratePlacement | None = None,
) -> Backend:
    """Make the backend of one model; nothing is loaded yet.

    Args:
        spec: which backend, with the name under which an endpoint serves the model.
        path: the model's folder; an endpoint needs none.
        calls: file of finished calls to an endpoint.
        placement: of transformers.

    Raises:
        ModelError: the folder is not a complete model.
        SpecError: there is no folder, or no key for the endpoint.
    """
    if isinstance(spec, EndpointModelSpec):
        from mixmerge.evaluation.backends.chat_endpoint import EndpointBackend

        return EndpointBackend(spec, calls)
    if path is None:
        raise SpecError("a model needs a folder, unless an endpoint serves it.")
    from mixmerge.evaluation.loaded_model import LoadedModel

    model = LoadedModel(path)
    if isinstance(spec, VllmSpec):
        from mixmerge.evaluation.backends.vllm_engine import VllmBackend

        return VllmBackend(model, spec)
    from mixmerge.evaluation.backends.hugging_face import TransformersBackend

    placement = placement or GeneratePlacement()
    return TransformersBackend(model, batch_size=placement.batch_size, threads=placement.threads)
