"""The folder of an adapter, in peft's format: weights, configuration and report."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from mixmerge.errors import ModelError
from mixmerge.files import write_json
from mixmerge.hub import local_folder
from mixmerge.merging.adapters.changes import Change, Changes
from mixmerge.merging.kernels.low_rank import Matrix, Product
from mixmerge.merging.kernels.rounding import narrow_into, widen_into
from mixmerge.merging.methods.method import Method
from mixmerge.merging.models.adapter_files import CONFIG, PREFIX, WEIGHTS
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT, NewTensor
from mixmerge.merging.output.lineage import ADAPTER_REPORT
from mixmerge.merging.output.shards import ShardFile, shard
from mixmerge.merging.planning.plan import Row
from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.merging.streaming.workers import Counter as Bytes
from mixmerge.merging.streaming.workers import Workers
from mixmerge.merging.write import compute
from mixmerge.progress import Progress
from mixmerge.spec_model import SpecModel

_LARGEST_OF_VLLM = 512
"""The largest `--max-lora-rank` that vLLM accepts."""


class ModuleReport(SpecModel):
    """The change of one module."""

    rank: int
    """Of its factors."""
    norm: float
    """Frobenius norm of the change."""
    error: float
    """Relative Frobenius error of the factors as they are stored: ``|D - BA| / |D|``."""


class AdapterReport(SpecModel):
    """What an adapter holds of the change that it was made from."""

    error: float
    """Relative Frobenius error of all modules together."""
    modules: dict[str, ModuleReport]
    left_out: dict[str, float] = Field(default={})
    """Norms of the changes that the adapter does not hold, by tensor."""
    share_left_out: float = 0.0
    """Their share of the squared norm of all changes."""

    @property
    def sentence(self) -> str:
        """What is lost, for people."""
        ranks = [module.rank for module in self.modules.values()]
        shown = str(max(ranks)) if min(ranks) == max(ranks) else f"{min(ranks)} to {max(ranks)}"
        worst = max(self.modules, key=lambda name: self.modules[name].error)
        return (
            f"{len(ranks)} modules of rank {shown}; relative Frobenius error {self.error:.3g}, "
            f"the largest of one module {self.modules[worst].error:.3g} ({worst})"
        )


@dataclass(frozen=True)
class Target:
    """The adapter's base."""

    reference: str
    """A folder, or a hub name with an optional ``@revision``."""
    model: Checkpoint

    @property
    def named(self) -> dict[str, str | None]:
        """What peft's configuration says of the base."""
        if (folder := local_folder(self.reference)).exists():
            return {"base_model_name_or_path": str(folder.absolute()), "revision": None}
        name, _, revision = self.reference.partition("@")
        return {"base_model_name_or_path": name, "revision": revision or None}


def write_adapter(
    changes: Changes,
    target: Target,
    folder: Path,
    method: Method,
    *,
    dtype: str,
    seed: int = 0,
    threads: int | None,
    verify: bool,
    progress: Progress,
) -> AdapterReport:
    """Write weights and configuration of an adapter, holding only the tensors being computed.

    Args:
        changes: what to write.
        target: the base.
        folder: where to write; it exists.
        method: computes the tensors that are written whole.
        dtype: type of the factors, as safetensors spells it.
        seed: of random draws.
        threads: number of threads.
        verify: read the file back from the disk.
        progress: told of the bytes written.

    Raises:
        ModelError: an input is not finite, or a factor does not fit ``dtype``.
    """
    tensors = [*_tensors(changes, dtype)]
    with ExitStack() as files, Workers(threads) as pool:
        file = ShardFile(folder, shard(WEIGHTS, tensors), pool.later, verify=verify)
        files.callback(file.close)
        counter = Bytes(progress, sum(tensor.nbytes for tensor in tensors))
        writer = _Writer(file, dtype, counter, pool.later)
        jobs: list[tuple[int, Callable[[ParallelMap, int], None]]] = [
            *((prod(each.shape), partial(writer.change, each)) for each in changes.changes),
        ]
        for whole in changes.whole:
            for name in whole.names:
                write = partial(writer.whole, _key_of_whole(name, changes), whole.row, method, seed)
                jobs.append((prod(whole.row.output.shape), write))
        pool.run(jobs)
    write_json(folder / CONFIG, _config(changes, target))
    report = _report(changes, writer.squares)
    write_json(folder / ADAPTER_REPORT, report.model_dump(mode="json"))
    return report


def _report(changes: Changes, squares: Mapping[str, tuple[float, float]]) -> AdapterReport:
    modules, norm, lost = {}, 0.0, 0.0
    for change in changes.changes:
        own, rest = squares[change.module]
        norm, lost = norm + own, lost + rest
        error = sqrt(rest / own) if own else 0.0
        modules[change.module] = ModuleReport(rank=change.rank, norm=sqrt(own), error=error)
    left = sum(each * each for each in changes.left_out.values())
    share = left / (norm + left) if left else 0.0
    error = sqrt(lost / norm) if norm else 0.0
    left_out = dict(changes.left_out)
    return AdapterReport(error=error, modules=modules, left_out=left_out, share_left_out=share)


def _tensors(changes: Changes, dtype: str) -> Iterator[NewTensor]:
    for change in changes.changes:
        a, b = _keys(change)
        yield NewTensor(a, dtype, (change.rank, change.shape[1]))
        yield NewTensor(b, dtype, (change.shape[0], change.rank))
    for whole in changes.whole:
        output = whole.row.output
        for name in whole.names:
            yield NewTensor(_key_of_whole(name, changes), output.dtype, output.shape)


def _keys(change: Change) -> tuple[str, str]:
    """Return the names of A and B in the file."""
    start = PREFIX + change.module
    if change.embedding:
        return f"{start}.lora_embedding_A", f"{start}.lora_embedding_B"
    return f"{start}.lora_A.weight", f"{start}.lora_B.weight"


def _key_of_whole(name: str, changes: Changes) -> str:
    """Return a whole tensor's name in the file; beside factors it belongs to the layer inside."""
    module, _, parameter = name.rpartition(".")
    inside = any(change.module == module for change in changes.changes)
    return f"{PREFIX}{module}.{'base_layer.' if inside else ''}{parameter}"


@dataclass
class _Writer:
    """Computes and writes tensors, from any thread."""

    file: ShardFile
    dtype: str
    counter: Bytes
    later: Callable[..., object]
    squares: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By module, the squared norm of its change and of what is lost of it."""

    def change(self, change: Change, parallel_map: ParallelMap, hold: int) -> None:
        """Write A and B of one module, and measure what they lose."""
        factors, lost = change.factors(parallel_map, hold)
        a, b = _keys(change)
        stored = Product(a=self._put(a, factors.a), b=self._put(b, factors.b))
        self.squares[change.module] = lost(stored)

    def whole(
        self, name: str, row: Row, method: Method, seed: int, parallel_map: ParallelMap, hold: int
    ) -> None:
        """Merge one tensor and write it whole."""

        def receive(start: int, content: memoryview) -> None:
            self.file.write(name, start, content)
            self.counter.add(len(content))

        compute(row, method, seed, parallel_map, hold, receive)
        self._finished()

    def _put(self, name: str, values: Matrix) -> Matrix:
        """Round and write a tensor; return it as it is stored."""
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        raw = np.empty(flat.size * BYTES_PER_ELEMENT[self.dtype], np.uint8)
        if not narrow_into(flat, self.dtype, raw):
            raise ModelError(
                f"tensor {name}: the values do not fit {self.dtype}; use smaller weights or "
                "`dtype: float32`."
            )
        self.file.write(name, 0, raw.data)
        self.counter.add(raw.size)
        self._finished()
        widen_into(raw, self.dtype, flat)
        return flat.reshape(values.shape).astype(np.float64)

    def _finished(self) -> None:
        if self.file.tensor_is_written():
            self.later(self.file.finish)


def _config(changes: Changes, target: Target) -> dict[str, Any]:
    """Return peft's configuration. The scale is one, so ``lora_alpha`` is the rank everywhere."""
    ranks = {change.module: change.rank for change in changes.changes}
    common = Counter(ranks.values()).most_common(1)[0][0]
    # A pattern also fits names that end with it, and the first that fits counts.
    others = sorted((name for name in ranks if ranks[name] != common), key=len, reverse=True)
    whole = [name.rpartition(".") for each in changes.whole for name in each.names]
    saved = [module for module, _, parameter in whole if parameter == "weight"]
    biases = any(module not in saved for module, _, _ in whole)
    kind = str((target.model.config.get("architectures") or [""])[0])
    causal = kind.endswith(("ForCausalLM", "LMHeadModel"))
    return {
        **target.named,
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if causal else None,
        "inference_mode": True,
        "r": common,
        "lora_alpha": common,
        "rank_pattern": {name: ranks[name] for name in others},
        "alpha_pattern": {name: ranks[name] for name in others},
        "lora_dropout": 0.0,
        "use_rslora": False,
        "use_dora": False,
        "fan_in_fan_out": any(each.transposed and not each.embedding for each in changes.changes),
        "target_modules": _short([*ranks], target.model),
        "modules_to_save": sorted({*saved}) or None,
        "bias": "all" if biases else "none",
    }


def _short(modules: list[str], base: Checkpoint) -> list[str]:
    """Return the last words of names if they stand for no other module, else whole names."""
    matrices = [
        name.removesuffix(".weight")
        for name, tensor in base.tensors.items()
        if name.endswith(".weight") and len(tensor.shape) == 2
    ]
    there = Counter(name.rpartition(".")[2] for name in matrices)
    words = Counter(name.rpartition(".")[2] for name in modules)
    return sorted(words) if all(there[word] == words[word] for word in words) else sorted(modules)


def notes_on_vllm(changes: Changes) -> Iterator[str]:
    """Say why vLLM would not load an adapter, if it would not."""
    why = []
    if changes.whole:
        why.append("has whole tensors (`modules_to_save`, `bias`)")
    if (rank := max(change.rank for change in changes.changes)) > _LARGEST_OF_VLLM:
        why.append(f"has rank {rank}, of at most {_LARGEST_OF_VLLM}")
    if why:
        yield f"vLLM does not load this adapter, since it {' and '.join(why)}; peft does"
