"""Models of any size for benchmarks: a random base and two or three fine-tunes of it, in bfloat16.

    python -m benchmarks.models FOLDER SIZE

writes ``FOLDER/SIZE/base``, ``a`` and ``b``. The weights mean nothing, but their names, shapes,
shards and distances from the base are those of real checkpoints. They are written piece by piece,
with numpy alone, and are the same bytes every time.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

NAMES = ("base", "a", "b")
"""The base and its fine-tunes."""
SHARD = 5_000_000_000
"""Most bytes per weight file, as in ``save_pretrained``."""
_SPREAD = 0.02
"""Standard deviation of the base's weights."""
_CHANGE = 0.001
"""Standard deviation of what fine-tuning changed."""
_PIECE = 1 << 22
"""Elements made at once."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder-only transformer."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    vocabulary: int = 32_000
    cohere: bool = False
    """The layout of Cohere's models (Aya 23) instead of Llama's: tied head, one norm per layer."""

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor by its name, from the first layer to the last."""
        wide, key_value = self.hidden, self.hidden // self.heads * self.key_value_heads
        layer: dict[str, tuple[int, ...]] = {
            "self_attn.q_proj.weight": (wide, wide),
            "self_attn.k_proj.weight": (key_value, wide),
            "self_attn.v_proj.weight": (key_value, wide),
            "self_attn.o_proj.weight": (wide, wide),
            "mlp.gate_proj.weight": (self.intermediate, wide),
            "mlp.up_proj.weight": (self.intermediate, wide),
            "mlp.down_proj.weight": (wide, self.intermediate),
            "input_layernorm.weight": (wide,),
        }
        if not self.cohere:
            layer["post_attention_layernorm.weight"] = (wide,)
        tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, wide)}
        for number in range(self.layers):
            tensors |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
        tensors["model.norm.weight"] = (wide,)
        if not self.cohere:
            tensors["lm_head.weight"] = (self.vocabulary, wide)
        return tensors

    @property
    def nbytes(self) -> int:
        """Bytes of one model's weights."""
        return sum(_bytes(shape) for shape in self.tensors.values())

    @property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        kind = "Cohere" if self.cohere else "Llama"
        return {
            "architectures": [f"{kind}ForCausalLM"],
            "model_type": kind.lower(),
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_value_heads,
            "vocab_size": self.vocabulary,
            "tie_word_embeddings": self.cohere,
            "dtype": "bfloat16",
        }


SIZES = {
    "tiny": Shape(64, 160, 2, 4, 4, vocabulary=256),
    "0.1": Shape(640, 1792, 12, 10, 10),
    "0.25": Shape(1024, 2816, 14, 16, 16),
    "0.5": Shape(1280, 3456, 20, 20, 20),
    "1": Shape(1536, 4096, 32, 24, 24),
    "2": Shape(2048, 5632, 36, 32, 32),
    "embedding": Shape(1024, 1024, 1, 16, 16, vocabulary=256_000),
    "aya-23-8b": Shape(4096, 14_336, 32, 32, 8, vocabulary=256_000, cohere=True),
}
"""Shapes by billions of parameters; ``embedding`` is two tensors of 0.26 billion each."""


def many_tensors(count: int) -> Shape:
    """Return a shape of about ``count`` tensors that together hold a few megabytes."""
    few = Shape(8, 16, 1, 2, 2, vocabulary=64)
    per_layer = len(replace(few, layers=2).tensors) - len(few.tensors)
    return replace(few, layers=max(1, round((count - len(few.tensors)) / per_layer) + 1))


def ensure(folder: Path, shape: Shape, shard: int = SHARD) -> None:
    """Write base and fine-tunes of a shape below ``folder``, unless they are there.

    Raises:
        SystemExit: the disk has too little space.
    """
    if all((folder / name / "config.json").exists() for name in NAMES):
        return
    folder.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder).free, 5 * shape.nbytes
    if free < needed:
        raise SystemExit(
            f"{folder}: three models and two results need {needed / 1e9:.0f} GB, "
            f"the disk has {free / 1e9:.0f} GB free."
        )
    shards = _shards(shape, shard)
    for name in NAMES:
        (folder / name).mkdir(exist_ok=True)
    for number, tensors in enumerate(shards):
        _write_shard(folder, _file_name(number, len(shards)), tensors, number)
    for name in NAMES:
        _write_settings(folder / name, shape, shards)


def _shards(shape: Shape, limit: int) -> list[dict[str, tuple[int, ...]]]:
    """Divide the tensors in their order, as ``save_pretrained`` does."""
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    filled = 0
    for name, dimensions in shape.tensors.items():
        if shards[-1] and filled + _bytes(dimensions) > limit:
            shards.append({})
            filled = 0
        shards[-1][name] = dimensions
        filled += _bytes(dimensions)
    # The safetensors library stores the tensors of a file by name.
    return [dict(sorted(shard.items())) for shard in shards]


def _file_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number + 1:05}-of-{count:05}.safetensors"


def _write_shard(folder: Path, file: str, tensors: dict[str, tuple[int, ...]], number: int) -> None:
    header = _header(tensors)
    streams = [(folder / name / file).open("wb") for name in NAMES]
    for stream in streams:
        stream.write(header)
    generators = [np.random.default_rng([number, index]) for index in range(len(NAMES))]
    for name, dimensions in tensors.items():
        centre = 1.0 if name.endswith("norm.weight") else 0.0
        for size in _pieces(int(np.prod(dimensions))):
            _write_piece(streams, generators, centre, size)
    for stream in streams:
        stream.close()


def _header(tensors: dict[str, tuple[int, ...]]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, shape in tensors.items():
        end = place + _bytes(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _pieces(size: int) -> Iterator[int]:
    for start in range(0, size, _PIECE):
        yield min(_PIECE, size - start)


def _write_piece(
    streams: Sequence[BinaryIO], generators: list[np.random.Generator], centre: float, size: int
) -> None:
    """Write elements of the base, and of each fine-tune the same ones a little changed."""
    base: npt.NDArray[np.float32] = generators[0].standard_normal(size, dtype=np.float32)
    base *= np.float32(_SPREAD)
    base += np.float32(centre)
    streams[0].write(bfloat16(base).data)
    for stream, generator in zip(streams[1:], generators[1:], strict=True):
        tuned: npt.NDArray[np.float32] = generator.standard_normal(size, dtype=np.float32)
        tuned *= np.float32(_CHANGE)
        tuned += base
        stream.write(bfloat16(tuned).data)


def bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return finite float32 values as the bits of bfloat16, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return rounded.astype(np.uint16)


def _write_settings(folder: Path, shape: Shape, shards: list[dict[str, tuple[int, ...]]]) -> None:
    if len(shards) > 1:
        files = {
            name: _file_name(number, len(shards))
            for number, tensors in enumerate(shards)
            for name in tensors
        }
        index = {"metadata": {"total_size": shape.nbytes}, "weight_map": files}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "a": 1}, "unk_token": "<unk>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(shape.config, indent=2))


def _bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of a tensor in bfloat16; in Python's integers, which do not overflow."""
    size = 2
    for length in shape:
        size *= length
    return size


def main() -> None:
    """Write the models of one size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", help=f"one of {', '.join(SIZES)}, or a number of tensors")
    arguments = parser.parse_args()
    shape = (
        many_tensors(int(arguments.size.removesuffix("-tensors")))
        if arguments.size.endswith("-tensors")
        else SIZES[arguments.size]
    )
    ensure(arguments.folder / arguments.size, shape)
    print(f"{arguments.size}: {shape.nbytes / 1e9:.3f} GB each", asdict(shape))


if __name__ == "__main__":
    main()
