"""From what is asked to the backend that answers."""

from pathlib import Path

from mixmerge.errors import SpecError
from mixmerge.evaluation.backends.backend import Backend
from mixmerge.evaluation.generate_spec import EndpointModelSpec, GenerateSpec, VllmSpec
from mixmerge.evaluation.spec import PlacementSpec


def make_backend(
    spec: GenerateSpec,
    path: Path | None,
    *,
    calls: Path,
    placement: PlacementSpec | None = None,
) -> Backend:
    """Make the backend of one model; nothing is loaded yet.

    Args:
        spec: which backend, with the name under which an endpoint serves the model.
        path: the model's folder; an endpoint needs none.
        calls: file of finished calls to an endpoint.
        placement: batch size and threads.

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

    placement = placement or PlacementSpec()
    return TransformersBackend(model, batch_size=placement.batch_size, threads=placement.threads)
