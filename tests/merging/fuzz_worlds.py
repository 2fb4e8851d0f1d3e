"""Small complete merges for the fuzzer: the files of models, adapters and recipes, as bytes."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import save
from tests.merging.conftest import layered

Files = dict[str, bytes]
"""Content by path below the world's folder."""

RECIPE = "recipe.yml"
WORDS = ("the", "cat", "sat", "on", "a")


def _tokenizer(tokens: tuple[str, ...], added: tuple[str, ...]) -> bytes:
    words = {token: number for number, token in enumerate(tokens)}
    entries = [
        {
            "id": len(tokens) + number,
            "content": token,
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            "special": True,
        }
        for number, token in enumerate(added)
    ]
    pieces = {"type": "WordLevel", "vocab": words, "unk_token": tokens[0]}
    parts = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    content = {"version": "1.0", **dict.fromkeys(parts), "added_tokens": entries, "model": pieces}
    return json.dumps(content).encode()


def _model(
    seed: int,
    dtype: torch.dtype,
    *,
    added: tuple[str, ...] = (),
    tokens: tuple[str, ...] = WORDS,
    shards: int = 1,
) -> Files:
    rng = np.random.default_rng(seed)
    tensors = {
        name: torch.tensor(values, dtype=dtype) for name, values in layered(seed, layers=2).items()
    }
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rows = rng.standard_normal((len(tokens) + len(added), 4), dtype=np.float32)
        tensors[name] = torch.tensor(rows, dtype=dtype)
    tensors["positions"] = torch.arange(3)
    config = {
        "model_type": "toy",
        "architectures": ["Toy"],
        "dtype": "float32",
        "num_hidden_layers": 2,
        "layer_types": ["full", "sliding"],
        "vocab_size": len(tokens) + len(added),
        "eos_token_id": 0,
        "text": {"rope": {"theta": 1e4}},
    }
    files = {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": _tokenizer(tokens, added),
        "tokenizer_config.json": json.dumps(
            {"eos_token": tokens[0], "extra_special_tokens": [], "chat_template": "{{ x }}"}
        ).encode(),
        "generation_config.json": b'{"eos_token_id": [0, 1], "do_sample": true}',
        "chat_template.jinja": b"{% for m in messages %}{{ m.content }}{% endfor %}",
    }
    if shards == 1:
        return {**files, "model.safetensors": save(tensors, {"format": "pt"})}
    weight_map: dict[str, str] = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = dict([*tensors.items()][number::shards])
        files[file] = save(part)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    return {**files, "model.safetensors.index.json": json.dumps(index).encode()}


def _adapter() -> Files:
    rng = np.random.default_rng(9)

    def random(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.standard_normal(shape, dtype=np.float32))

    prefix = "base_model.model.model.layers"
    tensors = {
        f"{prefix}.0.self_attn.q_proj.lora_A.weight": random(2, 4),
        f"{prefix}.0.self_attn.q_proj.lora_B.weight": random(4, 2),
        f"{prefix}.1.mlp.up_proj.lora_A.weight": random(2, 4),
        f"{prefix}.1.mlp.up_proj.lora_B.weight": random(8, 2),
    }
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "a",
        "r": 2,
        "lora_alpha": 3,
        "rank_pattern": {"q_.*": 2},
        "alpha_pattern": {"layers.1.mlp.up_proj": 1},
        "use_rslora": False,
        "fan_in_fan_out": False,
        "target_modules": ["q_proj", "up_proj"],
        "bias": "none",
    }
    return {
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": save(tensors),
    }


def _below(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _world(recipe: list[dict[str, Any]], models: Mapping[str, Files]) -> Files:
    text = yaml.safe_dump_all(recipe, sort_keys=False)
    files = {RECIPE: text.encode()}
    for name, content in models.items():
        files |= _below(name, content)
    return files


def _weighed(model: str, weight: Any, **more: Any) -> dict[str, Any]:
    return {"model": model, "parameters": {"weight": weight, **more}}


def worlds() -> dict[str, Files]:
    """Return one world for each kind of recipe, by name."""
    f32, f16, bf16 = torch.float32, torch.float16, torch.bfloat16
    a, b, base = _model(1, f32), _model(2, bf16, shards=2), _model(3, f32)
    c = _model(4, f16, tokens=(*WORDS, "mat"), added=("<s>",))
    gradient = [{"filter": "mlp", "value": [0.1, 0.9]}, {"value": 0.5}]
    sources = [
        {"sources": [{"model": "a", "layer_range": [0, 2], "parameters": {"weight": 1}}]},
        {
            "sources": [
                {"model": "a", "layer_range": [1, 2], "parameters": {"weight": 0.3}},
                {"model": "b", "layer_range": [0, 1], "parameters": {"weight": [0.7, 1]}},
            ]
        },
    ]
    union = {
        "source": "union",
        "tokens": {"<s>": {"source": "c", "force": True}, "<new>": {"source": {"kind": "zero"}}},
        "pad_to_multiple_of": 4,
    }
    return {
        "linear": _world(
            [
                {
                    "merge_method": "linear",
                    "models": [_weighed("a", 0.25), _weighed("b", gradient)],
                    "parameters": {"normalize": True},
                    "dtype": "float32",
                    "chat_template": "auto",
                }
            ],
            {"a": a, "b": b},
        ),
        "own form": _world(
            [
                {
                    "method": "ties",
                    "models": [
                        {"name": "x", "path": "a", "parameters": {"weight": 0.5}},
                        {"name": "y", "path": "b", "parameters": {"weight": [0.1, 2]}},
                    ],
                    "base": {"path": "base"},
                    "parameters": {"density": [{"filter": "mlp", "value": 0.3}, {"value": 1}]},
                    "dtype": "float16",
                    "files_from": "y",
                }
            ],
            {"a": a, "b": b, "base": base},
        ),
        "ties": _world(
            [
                {
                    "merge_method": "ties",
                    "base_model": "base",
                    "models": [
                        _weighed("a", [0.2, 0.8], density=0.6),
                        _weighed("b", "5e-1"),
                        {"model": "base"},
                    ],
                    "parameters": {"density": 0.5, "lambda": 0.9, "int8_mask": True},
                    "out_dtype": "bfloat16",
                }
            ],
            {"a": a, "b": b, "base": base},
        ),
        "slerp": _world(
            [
                {
                    "merge_method": "slerp",
                    "base_model": "a",
                    "models": [{"model": "b"}],
                    "parameters": {"t": [{"filter": "mlp", "value": [0, 1]}, {"value": 0.25}]},
                }
            ],
            {"a": a, "b": b},
        ),
        "slices": _world([{"merge_method": "linear", "slices": sources}], {"a": a, "b": b}),
        "union": _world(
            [
                {
                    "merge_method": "task_arithmetic",
                    "base_model": "a",
                    "models": [_weighed("c", 0.5)],
                    "tokenizer": union,
                }
            ],
            {"a": a, "c": c},
        ),
        "lora": _world(
            [{"merge_method": "linear", "models": [_weighed("a+adapter", 1), _weighed("b", 2)]}],
            {"a": a, "b": b, "adapter": _adapter()},
        ),
        "stages": _world(
            [
                {
                    "name": "first",
                    "merge_method": "linear",
                    "models": [_weighed("a", 0.5), _weighed("b", 0.5)],
                    "dtype": "float32",
                },
                {
                    "merge_method": "task_arithmetic",
                    "base_model": "base",
                    "models": [_weighed("first", 0.5)],
                    "dtype": "float16",
                },
            ],
            {"a": a, "b": b, "base": base},
        ),
    }
