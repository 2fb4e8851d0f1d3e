"""Estimate from headers whether trainings and evaluations fit into the device's memory.

A training in mixed precision holds 16 bytes a weight: the weight, its gradient and Adam's two
moments, each in float32 (Rajbhandari et al. 2020, ZeRO, section 3.1, counts the same sum). A LoRA
training holds the base weights in the dtype of its arithmetic, or in 4 bits, and 16 bytes a weight
of the adapter. Activations are left out: they grow with the batch, which is halved when memory runs
out. So these are lower bounds.
"""

import math
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mixmerge.errors import UserError
from mixmerge.execution.engines.local import physical_memory_gb
from mixmerge.execution.plan import Planned
from mixmerge.files import read_object
from mixmerge.merging.models.safetensors_io import StoredTensor, read_header
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.answers import Answers
from mixmerge.study.steps.generate import Generate
from mixmerge.study.steps.kind import model_path
from mixmerge.study.steps.train import Train, placement_of
from mixmerge.training.adapter import AdapterSpec
from mixmerge.training.spec import TrainPlacement, TrainSpec
from mixmerge.yaml_file import Place

FULL_BYTES, HALF_BYTES, BYTES_IN_4_BIT = 16, 2, 0.6
"""Per weight: of a full training; frozen in 16 bits; frozen in 4 bits with double quantization, as
if embeddings and head were quantized, too."""
ROOM = 0.9
"""Share of a device's memory that a training that is not yet chosen may use."""
_PROMPT_TOKENS = 512
"""Assumed tokens of a prompt in the key-value cache, until there are answers to measure."""
_HEADROOM = 0.95
"""Share of a device's memory that its driver and libraries leave free."""
_IN_NAME = re.compile(r"(?<![a-zA-Z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![a-zA-Z0-9])")
"""How model names state their size."""
_HEAD = ("embed", "wte", "lm_head", "output.weight")
"""Parts of the names of matrices that `all-linear` does not adapt."""
_TABLES = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")
"""Modules with a row for each token."""


@dataclass(frozen=True)
class ModelSize:
    """A model's size, from its headers."""

    weights: int
    stored_bytes: int
    matrices: tuple[tuple[str, int, int], ...]
    """Name, rows and columns of every matrix but embeddings and head."""
    config: Mapping[str, Any]
    by_name: bool = False
    """Whether the size is guessed from the model's name, at 16 bits a weight."""

    def adapter_weights(self, adapter: AdapterSpec) -> int:
        """Return the number of weights in a LoRA adapter: both factors of each adapted layer."""
        chosen = [
            rows + columns
            for name, rows, columns in self.matrices
            if adapter.targets == "all-linear" or name.split(".")[-2:][0] in adapter.targets
        ]
        return adapter.rank * sum(chosen) + self._whole(adapter.modules_to_save)

    def _whole(self, modules: tuple[str, ...]) -> int:
        """Return the number of weights in modules that are trained whole, as far as known."""
        text = self.config.get("text_config", self.config)
        table = (text.get("vocab_size") or 0) * (text.get("hidden_size") or 0)
        inside = sum(
            rows * columns
            for name, rows, columns in self.matrices
            if name.split(".")[-2] in modules
        )
        return inside + table * sum(name in _TABLES for name in modules)

    def cache_bytes(self, tokens: int) -> int:
        """Return the bytes of the key-value cache for some tokens, at 16 bits; 0 if unknown."""
        text = self.config.get("text_config", self.config)
        layers, heads = text.get("num_hidden_layers"), text.get("num_attention_heads")
        hidden = text.get("hidden_size")
        if not (layers and heads and hidden):
            return 0
        width = text.get("head_dim") or hidden // heads
        return int(2 * 2 * layers * (text.get("num_key_value_heads") or heads) * width * tokens)


class Device(NamedTuple):
    """The hardware that a training or an evaluation runs on."""

    name: str
    """In words, e.g. ``each GPU`` or ``this machine``."""
    memory: float
    """Bytes."""
    gpu: bool


def device_here(asked: str = "auto") -> Device:
    """Return the smallest GPU of this machine or, without a GPU, its main memory."""
    found = () if asked == "cpu" else gpus()
    if found:
        least = min(size for _, size in found)
        return Device("each GPU here" if found[1:] else "the GPU here", least, gpu=True)
    return Device("this machine", physical_memory_gb() * 1e9, gpu=False)


@cache
def gpus() -> tuple[tuple[str, float], ...]:
    """Return the name and bytes of each GPU that the driver lists; loads no library."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = [line.rpartition(", ") for line in said.stdout.splitlines()]
    return tuple((name, int(size) * 2.0**20) for name, _, size in lines if size.isdigit())


def source_folder(step: str, steps: Mapping[str, Planned]) -> Path | None:
    """Return the folder of a step's model or, before it exists, of a model of the same shape.

    A training keeps its parent's shape, a merge its base's. None if neither is on this machine.
    """
    item = _source(step, steps)
    if item is None:
        return None
    if item.folder is not None:
        return model_path(item.folder)
    folders = [Path(path) for path in item.step.files.values()]
    return folders[0] if folders and folders[0].is_dir() else None


def _source(step: str, steps: Mapping[str, Planned]) -> Planned | None:
    seen: set[str] = set()
    while step in steps and step not in seen:
        seen.add(step)
        item = steps[step]
        if item.folder is not None or item.step.kind in ("base", "given"):
            return item
        inputs = item.step.inputs
        roles = [role for role in inputs if role in ("model", BASE) or role.startswith("model:")]
        step = inputs[roles[0]] if roles else next(iter(inputs.values()), "")
    return None


def model_size(step: str, steps: Mapping[str, Planned]) -> ModelSize | None:
    """Return the size of a step's model, from its headers or those of a model of the same shape.

    A model that is not downloaded may state it in its name: ``aya-23-8B`` has about 8e9 weights.
    """
    folder = source_folder(step, steps)
    if folder is not None:
        return size_in(folder)
    item = _source(step, steps)
    weights = weights_in_name(str(item.step.settings.get("name") or "")) if item else None
    return None if weights is None else ModelSize(weights, 2 * weights, (), {}, by_name=True)


def weights_in_name(name: str) -> int | None:
    """Return the number of weights that a model's name states, such as ``8B`` or ``135M``."""
    named = _IN_NAME.search(name)
    return round(float(named[1]) * (1e9 if named[2] in "bB" else 1e6)) if named else None


@cache
def size_in(folder: Path) -> ModelSize | None:
    """Return the size of the model in a folder, from its headers; None without one."""
    try:
        files = sorted(folder.glob("*.safetensors"))
        tensors = [tensor for file in files for tensor in read_header(file)]
        config = read_object(folder / "config.json") if (folder / "config.json").is_file() else {}
    except UserError:
        return None  # reported when the model is read
    if not tensors:
        return None
    return ModelSize(
        weights=sum(tensor.size for tensor in tensors),
        stored_bytes=sum(tensor.nbytes for tensor in tensors),
        matrices=tuple(_matrices(tensors)),
        config=config,
    )


def _matrices(tensors: Sequence[StoredTensor]) -> Iterator[tuple[str, int, int]]:
    for tensor in tensors:
        linear = not any(part in tensor.name for part in _HEAD)
        if len(tensor.shape) >= 2 and linear:
            experts = math.prod(tensor.shape[:-2])  # a layer's experts in one tensor
            rows, columns = tensor.shape[-2:]
            yield from [(tensor.name, rows, columns)] * experts


def training_bytes(item: Planned, size: ModelSize) -> float:
    """Return the fewest bytes that one device of a training needs."""
    recipe = Train().read_settings(item.step)
    where = placement_of(item.step.placement)
    if recipe.adapter is None:
        needed = float(FULL_BYTES * size.weights)
    else:
        half = recipe.precision == "bfloat16" or (
            recipe.precision == "auto" and device_here(where.device).gpu
        )
        adapter = size.adapter_weights(recipe.adapter)
        frozen = BYTES_IN_4_BIT if recipe.adapter.load_in_4bit else HALF_BYTES if half else 4
        needed = frozen * size.weights + FULL_BYTES * adapter
    needed += _answering_bytes(recipe, where, size)
    sharded = where.fsdp is not None or where.deepspeed is not None
    if sharded:
        return float(needed / (where.devices * where.nodes))
    # Data parallelism holds a copy on each GPU; without GPUs, all copies share one memory.
    copies = 1 if device_here(where.device).gpu else where.devices
    return float(needed * copies)


def _answering_bytes(recipe: TrainSpec, where: TrainPlacement, size: ModelSize) -> float:
    """Return the bytes of the key-value cache and the reference of a model that writes answers."""
    objective = recipe.objective
    if objective.answer_length is None:
        return 0.0
    tokens = _PROMPT_TOKENS + objective.answer_length(recipe.own)
    at_once = recipe.batch_size // (where.devices * where.nodes)
    cache = size.cache_bytes(tokens * at_once)
    beside = objective.passes is not None and objective.passes(recipe.own)[0] > 0
    # With an adapter, the model without it is the reference.
    return cache + (4.0 * size.weights if beside and recipe.adapter is None else 0.0)


def generation_bytes(item: Planned, size: ModelSize) -> float:
    """Return the bytes of the weights and of the key-value cache of one batch."""
    tokens = _PROMPT_TOKENS + int(item.step.settings["max_new_tokens"])
    cache_bytes = size.cache_bytes(tokens * item.step.placement.get("batch_size", 1))
    where = item.step.placement
    backends = [where.get("generate", {}), *where.get("teachers", {}).values()]
    spread = max(int(backend.get("tensor_parallel", 1)) for backend in backends)
    return float(size.stored_bytes + cache_bytes) / spread


def step_bytes(item: Planned, steps: Mapping[str, Planned]) -> float | None:
    """Return the bytes that a training or a local generation needs; None if unknown or neither."""
    if item.step.kind == Answers.kind:  # one teacher after another
        teachers = (model_size(step, steps) for step in _teachers(item))
        return max((generation_bytes(item, size) for size in teachers if size), default=None)
    parent = item.step.inputs.get("model")
    size = model_size(parent, steps) if parent else None
    if size is None or item.step.kind not in (Train.kind, Generate.kind):
        return None
    if item.step.kind == Generate.kind:
        return generation_bytes(item, size)
    return training_bytes(item, size) + _teacher_bytes(item, steps)


def _teachers(item: Planned) -> set[str]:
    """Return the steps that make the teachers of a step."""
    return {step for role, step in item.step.inputs.items() if role.startswith("teacher:")}


def _teacher_bytes(item: Planned, steps: Mapping[str, Planned]) -> float:
    """Return the bytes of a distillation's teachers on one device; unknown ones count nothing."""
    where = placement_of(item.step.placement)
    sizes = [size.weights for step in _teachers(item) if (size := model_size(step, steps))]
    each = HALF_BYTES if device_here(where.device).gpu else 4
    copies = 1 if device_here(where.device).gpu else where.devices
    held = max(sizes, default=0) if where.teachers_in_turn else sum(sizes)
    return float(each * copies * held)


def memory_warnings(
    study: Study, todo: Sequence[Planned], steps: Mapping[str, Planned]
) -> Iterator[tuple[Place, str]]:
    """Yield what will not fit into the device: a sentence per recipe, and one for generations."""
    trainings: dict[str, list[tuple[str, float]]] = {}
    answering: list[tuple[str, float]] = []
    for item in todo:
        needed = step_bytes(item, steps)
        if needed is None or needed <= _HEADROOM * device_of(item).memory:
            continue
        if item.step.kind == Generate.kind:
            answering.append((item.step.name, needed))
        elif item.step.kind == Answers.kind:
            answering.append((f"the teachers of {item.step.name}", needed))
        else:
            recipe = study.trained()[item.step.name].train
            trainings.setdefault(recipe, []).append((item.step.name, needed))
    here = device_here(study.placement.train.device)
    for recipe, found in trainings.items():
        yield ("training", recipe), _too_large(found, here, _cure(study, recipe))
    if answering:
        cure = "set a smaller `placement.generate.batch_size`, or evaluate on another device"
        place = ("placement", "generate")
        yield place, _too_large(answering, device_here(), cure, what="generating answers of")


def device_of(item: Planned) -> Device:
    """Return the hardware that a step runs on."""
    return device_here(str(item.step.placement.get("device", "auto")))


def _too_large(
    found: Sequence[tuple[str, float]], here: Device, cure: str, what: str = "training"
) -> str:
    names = found[0][0] + (f" and {len(found) - 1} more" if found[1:] else "")
    most = max(needed for _, needed in found)
    return (
        f"{what} {names} takes at least {most / 1e9:.1f} GB, and {here.name} has "
        f"{here.memory / 1e9:.1f} GB: {cure}."
    )


def _cure(study: Study, recipe: str) -> str:
    adapter = study.training[recipe].adapter
    if adapter is None:
        return "train a LoRA adapter (`adapter: {rank: 16}`), shard the model, or use a larger one"
    less = "" if adapter.load_in_4bit else "hold the base in 4 bits (`load_in_4bit: true`), "
    return f"{less}shard the model (`placement.train.fsdp`), or use a larger device"
