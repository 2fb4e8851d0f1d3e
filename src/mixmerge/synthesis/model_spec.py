"""The models that a specification names: an endpoint, or a folder on this machine."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.generate_spec import TransformersSpec, VllmSpec
from mixmerge.spec_model import SpecModel, one_of


class FolderSpec(SpecModel):
    """A model on this machine."""

    folder: str = Field(min_length=1)
    """A Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    backend: Literal["transformers", "vllm"] = "transformers"
    """What runs it."""
    batch_size: int = Field(32, ge=1)
    """Questions per batch. Placement."""
    threads: int = Field(1, ge=1)
    """CPU threads. Placement."""

    @property
    def own(self) -> TransformersSpec | VllmSpec:
        """The backend's own specification."""
        return VllmSpec(backend="vllm") if self.backend == "vllm" else TransformersSpec()

    def requires(self) -> tuple[str, ...]:
        """Return the packages that the backend needs."""
        return self.own.requires()


if TYPE_CHECKING:
    ModelSpec = EndpointSpec | FolderSpec
else:
    ModelSpec = one_of({"endpoint": EndpointSpec, "folder": FolderSpec}, "model")
    """``{endpoint: URL, model: NAME, …}`` or ``{folder: PATH}``."""
