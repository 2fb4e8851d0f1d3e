"""Choose the defaults of a first study: training, judges and merges."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from mixmerge.errors import SpecError
from mixmerge.study.memory import (
    BYTES_IN_4_BIT,
    FULL_BYTES,
    HALF_BYTES,
    ROOM,
    ModelSize,
    size_in,
    weights_in_name,
)
from mixmerge.study.starter.look import PromptLook
from mixmerge.testbed.model import BASES, weights_folder

_ADAPTERS = {
    "LoRA": (HALF_BYTES, "{rank: 16}"),
    "QLoRA": (BYTES_IN_4_BIT, "{rank: 16, load_in_4bit: true}"),
}
"""Bytes per weight of the frozen model, and the setting, from the most memory to the least."""
_TINY_ROWS = 1600
"""Rows over all epochs that the testbed's model needs to learn anything."""
_SHORT = 40
"""Longest answer, in characters, that a model can be expected to match word for word."""
_PROGRAMS = {
    "exact_match": (
        "{exact_match: squad}",
        "exact match, ignoring case and punctuation",
    ),
    "f1": (
        "{exact_match: squad, f1: true}",
        "share of words in common with the answer (a judge model says more: --judge)",
    ),
    "numeric": ("numeric", "the number in the answer must be right"),
}
METRICS = ("auto", "exact_match", "f1", "numeric", "judge")


@dataclass(frozen=True)
class Training:
    """How models are trained."""

    learning_rate: str
    batch_size: int
    epochs: int
    adapter: str
    """The setting, as YAML; empty where all weights are trained."""
    per_device: int | None
    """Rows per batch, where a GPU's memory limits it."""
    why: str
    """The choice in words, for a comment in the study file."""


def size_of(base: str) -> ModelSize | None:
    """Return the size of a model in a local folder, from its headers."""
    return size_in(weights_folder(BASES[base]) if base in BASES else Path(base).expanduser())


def context_of(base: str) -> int | None:
    """Return the context length of a model in a local folder, in tokens."""
    size = size_of(base)
    config = {} if size is None else size.config
    longest = config.get("text_config", config).get("max_position_embeddings")
    return longest if isinstance(longest, int) else None


def training(
    base: str, rows: int, method: str, *, gpu_gb: float | None, lora: bool | None, tokens: int
) -> Training:
    """Choose full training, LoRA or QLoRA, and the batch, by the GPU's memory.

    Args:
        base: the model.
        rows: of each training.
        method: ``sft``, ``dpo`` or ``kto``.
        gpu_gb: memory of the GPU; None without one.
        lora: the user's choice; None for what fits.
        tokens: of a long row.
    """
    batch = 16 if rows < 2000 else 32
    size = size_of(base)
    weights = weights_in_name(base) if size is None else size.weights
    if base in BASES:
        rate = "1.0e-3" if method == "sft" else "1.0e-4"  # preferences: small steps
        passes = min(10, max(2, round(_TINY_ROWS / rows)))
        adapter = _ADAPTERS["LoRA"][1] if lora else ""
        return Training(rate, batch, passes, adapter, None, "a tiny model: minutes on any CPU")

    def fits(needed: float) -> bool:
        return weights is None or gpu_gb is None or needed * weights <= ROOM * gpu_gb * 1e9

    small = weights is not None and weights < 5e8
    whole = fits(FULL_BYTES) and (gpu_gb is not None or small)
    kind, needed, adapter = "all weights", float(FULL_BYTES), ""
    if lora or (lora is None and not whole):
        kind = "LoRA" if fits(_ADAPTERS["LoRA"][0]) else "QLoRA"
        needed, adapter = _ADAPTERS[kind]
    why = f"{kind}: {needed:g} bytes a weight"
    if weights is not None:
        why += f" of {weights / 1e9:.3g} billion are {needed * weights / 1e9:.3g} GB"
    if gpu_gb is not None:
        why += f", and the GPU has {gpu_gb:g} GB"
        if not fits(needed):
            why += ": NOT ENOUGH for this model; shard it, or choose a smaller one"
    imitates, adapts = method == "sft", bool(adapter)
    rates = {(True, True): "2.0e-4", (True, False): "2.0e-5",
             (False, True): "5.0e-6", (False, False): "1.0e-6"}  # fmt: skip
    at_once = None
    if gpu_gb is not None and weights is not None:
        left = max(gpu_gb * 1e9 * ROOM - needed * weights, 0)
        at_once = _power_of_two(left / (tokens * _activation_bytes(weights)), batch)
    # Three epochs are usual for few rows; one is enough for many.
    return Training(rates[imitates, adapts], batch, 3 if rows < 1000 else 1, adapter, at_once, why)


def _activation_bytes(weights: int) -> float:
    """Estimate the bytes of a token's activations in a forward and backward pass.

    34 bytes for each unit of each layer (Korthikanti et al. 2022, arXiv:2205.05198, eq. 1, without
    the attention scores); units times layers follow from twelve weights for each pair of units.
    """
    layers = 12 if weights < 5e8 else 24 if weights < 3e9 else 32
    hidden = math.sqrt(weights / (12 * layers))
    return 34 * hidden * layers + 12 * 128_000  # plus the logits


def _power_of_two(most: float, batch: int) -> int:
    held = 1
    while held * 2 <= min(most, batch):
        held *= 2
    return held


def measured(axis: PromptLook, metric: str, judge: str | None, url: str) -> tuple[str, str]:
    """Return the judge and the measure of an axis as YAML, with the reason for them.

    Raises:
        SpecError: the metric needs reference answers, and the prompts have none.
    """
    if metric not in METRICS:
        raise SpecError(
            f"--metric {metric}: there is no such metric; there are {', '.join(METRICS)}."
        )
    if metric == "auto":
        metric = "judge" if judge or not axis.answers else "f1"
        if metric == "f1" and _short(axis.answers):
            metric = "exact_match"
    if metric == "judge":
        local = "//localhost" in url or "//127." in url
        key = "" if local else ", api_key_env: OPENAI_API_KEY"
        model = judge or "gpt-4.1-mini"
        said = f"judge: {{endpoint: {quoted(url)}, model: {quoted(model)}{key}}}, measure: win_rate"
        return said, "a judge model compares each answer with the base model's"
    if not axis.answers:
        raise SpecError(
            f"--metric {metric}: {axis.file} has no right answers, in none of the columns "
            "accepted, answer, completion, output; use `--metric judge`."
        )
    said, why = _PROGRAMS[metric]
    return f"judge: {said}, measure: mean", why


def _short(answers: Sequence[str]) -> bool:
    return median(map(len, answers)) <= _SHORT and not any("\n" in text for text in answers[:100])


def answer_tokens(axes: Sequence[PromptLook]) -> int:
    """Return the limit on answer tokens: enough for nearly all reference answers."""
    lengths = sorted(len(text) for axis in axes for text in axis.answers)
    if not lengths or any(not axis.answers for axis in axes):
        return 512
    room = lengths[int(0.98 * (len(lengths) - 1))] / 2 + 8
    return next((size for size in (16, 32, 64, 128, 256, 512) if size >= room), 1024)


def merges(names: Sequence[str], taken: Mapping[str, str]) -> dict[str, str]:
    """Return merges of some models as YAML, by names that are not in use."""
    listed = f"[{', '.join(names)}]"
    found = {"slerp": f"{{merge: {{method: slerp, models: {listed}}}}}"} if len(names) == 2 else {
        "linear": f"{{merge: {{method: linear, models: {listed}}}}}"
    }  # fmt: skip
    density = "parameters: {density: 0.5}"
    found["ties"] = f"{{merge: {{method: ties, models: {listed}, {density}}}}}"
    return {free(name, taken): said for name, said in found.items()}


def free(name: str, taken: Mapping[str, str]) -> str:
    """Return a name that is not in use: the name itself, or with ``-merge`` appended."""
    while name in taken or name == "base":
        name += "-merge"
    return name


def quoted(text: str) -> str:
    """Return a text as YAML within a flow mapping."""
    plain = re.fullmatch(r"[A-Za-z_./][\w./@+-]*", text) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan")
