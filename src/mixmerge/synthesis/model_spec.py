"""The models that a specification names: an endpoint, or one on this machine."""

from typing import TYPE_CHECKING, Annotated, Literal

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
    def path(self) -> str:
        """The folder, or the name on the hub."""
        return self.folder

    @property
    def own(self) -> TransformersSpec | VllmSpec:
        """The backend's own specification."""
        return VllmSpec(backend="vllm") if self.backend == "vllm" else TransformersSpec()

    def requires(self) -> tuple[str, ...]:
        """Return the packages that the backend needs."""
        return self.own.requires()


class Seq2seqSpec(SpecModel):
    """A translation model on this machine: NLLB, M2M100, mBART, MADLAD, Opus-MT, …."""

    seq2seq: str = Field(min_length=1)
    """A Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    languages: dict[Annotated[str, Field(min_length=2)], str] = Field(min_length=1)
    """What it writes, by ISO 639 code, as its tokenizer names languages: ``{hi: hin_Deva}``
    (NLLB), ``{hi: hi_IN}`` (mBART), ``{hi: hi}`` (M2M100). If its tokenizer has no languages, this
    is put before the text: ``{hi: "<2hi>"}`` (MADLAD), ``{hi: ">>hin<<"}`` (Opus-MT), or ``""`` if
    the model writes one language only."""
    sources: tuple[Annotated[str, Field(min_length=2)], ...] = ()
    """The languages that it reads; by default those that it writes."""
    beams: int = Field(4, ge=1)
    """Of the beam search; 1 is greedy."""
    batch_size: int = Field(16, ge=1)
    """Lines per batch. Placement."""
    threads: int = Field(1, ge=1)
    """CPU threads. Placement."""

    @property
    def path(self) -> str:
        """The folder, or the name on the hub."""
        return self.seq2seq

    @property
    def reads(self) -> tuple[str, ...]:
        """The languages that it reads."""
        return self.sources or tuple(self.languages)

    def requires(self) -> tuple[str, ...]:
        """Return the packages that run it."""
        return TransformersSpec().requires()


if TYPE_CHECKING:
    ModelSpec = EndpointSpec | FolderSpec | Seq2seqSpec
else:
    ModelSpec = one_of(
        {"endpoint": EndpointSpec, "folder": FolderSpec, "seq2seq": Seq2seqSpec}, "model"
    )
    """``{endpoint: URL, model: NAME, …}``, ``{folder: PATH}`` or ``{seq2seq: PATH, …}``."""
