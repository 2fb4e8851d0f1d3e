"""The settings of a LoRA adapter. Importing this does not load torch or peft."""

import importlib.util
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from mixmerge.errors import ResourceError
from mixmerge.spec_model import SpecModel


class AdapterSpec(SpecModel):
    """A LoRA adapter: low-rank updates of frozen weights (Hu et al. 2021, arXiv:2106.09685).

    With ``load_in_4bit`` the frozen weights are quantized: QLoRA (Dettmers et al. 2023,
    arXiv:2305.14314).
    """

    model_config = ConfigDict(allow_inf_nan=False)

    rank: int = Field(default=16, ge=1)
    """Rank of the update of each layer."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by ``alpha / rank``."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the adapter's inputs in SFT; DPO trains without dropout."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers to adapt, e.g. ``[q_proj, v_proj]``; ``all-linear``: all but the head."""
    load_in_4bit: bool = Field(default=False, exclude_if=lambda on: not on)
    """QLoRA: in training, the base model's linear layers are in 4-bit NormalFloat with double
    quantization. The adapter is merged into the original weights. Needs bitsandbytes."""

    use_rslora: bool = Field(default=False, exclude_if=lambda on: not on)
    """Scale by ``alpha / √rank``: rsLoRA (Kalajdzievski 2023, arXiv:2312.03732)."""
    use_dora: bool = Field(default=False, exclude_if=lambda on: not on)
    """Also train the norm of each row: DoRA (Liu et al. 2024, arXiv:2402.09353). Slower, and not
    loaded by vLLM as an adapter."""
    modules_to_save: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Modules to train whole beside the factors, e.g. ``[embed_tokens, lm_head]``. A head that is
    tied to its embedding stays tied."""

    @field_validator("targets")
    @classmethod
    def _trainable(cls, targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not targets:
            raise ValueError("name at least one layer, or write `all-linear`")
        if "lm_head" in targets:
            raise ValueError("`lm_head` cannot be adapted: the loss uses its weight directly")
        return targets

    def requires(self) -> tuple[str, ...]:
        """Return the package that holds weights in 4 bits."""
        return ("bitsandbytes",) if self.load_in_4bit else ()

    def check_packages(self) -> None:
        """Check that bitsandbytes is installed if it is needed, without importing it.

        Raises:
            ResourceError: it is not.
        """
        if any(importlib.util.find_spec(package) is None for package in self.requires()):
            raise ResourceError(
                "adapter: `load_in_4bit` needs the package bitsandbytes, which is not installed; "
                "run `pip install 'mixmerge[qlora]'`, or remove `load_in_4bit`."
            )

    @model_validator(mode="after")
    def _once(self) -> Self:
        twice = [name for name in self.modules_to_save if name in self.targets]
        if twice and self.targets != "all-linear":
            raise ValueError(f"`{twice[0]}` is in `targets` and in `modules_to_save`; choose one")
        return self

    def for_peft(self, model: Path) -> Any:
        """Return peft's configuration for the model in a folder; imports peft."""
        from peft import LoraConfig
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        tied = getattr(config.get_text_config(), "tie_word_embeddings", False)
        own: dict[str, Any] = {}
        if self.modules_to_save:
            own = {
                "modules_to_save": list(self.modules_to_save),
                "ensure_weight_tying": bool(tied),
            }
        return LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets if isinstance(self.targets, str) else list(self.targets),
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            task_type="CAUSAL_LM",
            **own,
        )
