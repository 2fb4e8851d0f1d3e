"""Backends that generate answers: transformers, vLLM, or an endpoint that serves the models."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag

from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.spec_model import SpecModel

MODEL_NAME = "{model}"
"""Stands for a checkpoint's name in the name of a served model."""


class LocalSpec(SpecModel):
    """A backend on this machine."""

    @property
    def gpus(self) -> int:
        """GPUs for one checkpoint."""
        return 1

    def identity(self) -> dict[str, Any]:
        """Return the settings that change answers."""
        return {}

    def serving(self, name: str) -> Self:
        """Return the backend for a checkpoint of this name."""
        del name
        return self


class TransformersSpec(LocalSpec):
    """The transformers library, on this machine's GPU or CPU."""

    backend: Literal["transformers"] = "transformers"
    """Transformers."""


class VllmSpec(LocalSpec):
    """vLLM's offline engine, loaded once for each checkpoint."""

    backend: Literal["vllm"]
    """vLLM, which must be installed."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "bfloat16"
    """Of weights and activations."""
    tensor_parallel: int = Field(1, ge=1)
    """GPUs over which each layer is split. Placement."""
    memory: float = Field(0.9, gt=0, le=1)
    """Share of each GPU's memory that the engine may use. Placement."""
    save_every: int = Field(1024, ge=1)
    """Prompts between saves: the most that an interruption may cost. Placement."""

    def requires(self) -> tuple[str, ...]:
        """Return vLLM, which comes with its own torch."""
        return ("vllm",)

    @property
    def gpus(self) -> int:
        """GPUs for one checkpoint."""
        return self.tensor_parallel

    def identity(self) -> dict[str, Any]:
        """Return the settings that change answers."""
        return {"backend": self.backend, "dtype": self.dtype}


class EndpointModelSpec(EndpointSpec):
    """An OpenAI-compatible endpoint that serves the models.

    In ``model``, ``{model}`` stands for the checkpoint's name.
    """

    @property
    def gpus(self) -> int:
        """GPUs for one checkpoint: none on this machine."""
        return 0

    def identity(self) -> dict[str, Any]:
        """Return the settings that change answers: not address, key, limits or price."""
        return {"backend": "endpoint", "model": self.model, "fields": self.fields}

    def serving(self, name: str) -> Self:
        """Return the endpoint with a checkpoint's name in place of `MODEL_NAME`."""
        return self.model_copy(update={"model": self.model.replace(MODEL_NAME, name)})


def _tag(value: Any) -> str | None:
    """Return the tag of a backend; it is not a key of the file."""
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    kind = "endpoint" if "endpoint" in names else names.get("backend", "transformers")
    return f"{kind} backend"


GenerateSpec = Annotated[
    Annotated[TransformersSpec, Tag("transformers backend")]
    | Annotated[VllmSpec, Tag("vllm backend")]
    | Annotated[EndpointModelSpec, Tag("endpoint backend")],
    Discriminator(
        _tag,
        custom_error_type="backend",
        custom_error_message="give `backend: transformers`, `backend: vllm`, or an `endpoint`",
    ),
]
"""``{backend: transformers}``, ``{backend: vllm, ...}``, or ``{endpoint: URL, model: NAME}``."""
