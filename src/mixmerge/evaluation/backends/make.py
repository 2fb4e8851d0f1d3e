"""The interface of backends, and the function that makes one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mixmerge.errors import SpecError
from mixmerge.evaluation.generate_spec import EndpointModelSpec, GenerateSpec, VllmSpec
from mixmerge.evaluation.spec import DecodingSpec, GeneratePlacement
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response


class Backend(Protocol):
    """One model that answers prompts. The caller sets the decoding, not the model folder."""

    @property
    def stamp(self) -> Any:
        """Plain data that identifies model and backend in a journal of answers."""

    def answers(
        self,
        prompts: Sequence[Prompt],
        decoding: DecodingSpec,
        missing: frozenset[str],
        progress: Progress = silent,
    ) -> Iterator[list[Response]]:
        """Yield batches of answers.

        ``missing`` are the ids of the prompts that need an answer; others may be answered, too.
        ``prompts`` are all prompts of a set, so that batches are the same after an interruption.

        Raises:
            DataError: a prompt is longer than the model's context; the message names it.
            ModelError: the model cannot be loaded.
            ResourceError: the backend is not installed, or an endpoint fails.
        """

    def close(self) -> None:
        """Free memory."""


def make_backend(
    spec: GenerateSpec,
    path: Path | None,
    *,
    calls: Path,
    placement: GeneratePlacement | None = None,
) -> Backend:
    """Make the backend of one model without loading it.

    ``path`` is the model's folder, which an endpoint does not need; ``calls`` is the file of
    finished calls to an endpoint; ``placement`` is for transformers.

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
