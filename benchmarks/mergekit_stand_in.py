"""What mergekit's tests take from their module ``tests.common``, which its sdist lacks.

`benchmarks.mergekit_tests` copies this file there: it makes tiny models, and `run_merge` stands in
for mergekit's own, so that ``mixmerge merge`` does the merges. Runs in mergekit's environment.
"""

import contextlib
import io
import json
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file

from mixmerge.cli.main import exit_code

LOG = logging.getLogger(__name__)
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 16,
    "num_hidden_layers": 2,
}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "image_size": 28,
    "patch_size": 14,
}


def run_merge(config: Any, out_path: str, options: Any, config_source: str | None = None) -> None:
    """Merge with mixmerge what mergekit would have merged.

    Raises:
        ValueError: mixmerge refused; the message is what it printed.
    """
    with Path(os.environ["MERGES_OF_TESTS"]).open("a") as merged:
        merged.write(os.environ["PYTEST_CURRENT_TEST"] + "\n")
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stderr(said):
        recipe = Path(place, "recipe.yml")
        recipe.write_text(config_source or config.to_yaml())
        arguments = ["merge", str(recipe), str(out_path)]
        if options.random_seed is not None:
            arguments += ["--seed", str(options.random_seed)]
        if options.unsafe_truncate_embeddings:
            arguments.append("--unsafe-truncate-embeddings")
        code = exit_code(arguments)
    LOG.warning(said.getvalue())
    if code:
        raise ValueError(f"exit code {code}: {said.getvalue()}")


def run_and_check_merge(
    config: Any,
    check_nan: bool = True,
    validate: Callable[[str], None] | None = None,
    auto_arch: bool = False,  # noqa: ARG001 - there is no table of architectures to do without
) -> None:
    """Merge, and check that transformers finds every tensor and that all are finite."""
    from mergekit.options import MergeOptions

    with tempfile.TemporaryDirectory() as place:
        run_merge(config, place, MergeOptions())
        tensors = {
            name: tensor
            for file in Path(place).glob("*.safetensors")
            for name, tensor in load_file(file).items()
        }
        assert tensors
        if check_nan:
            assert all(tensor.isfinite().all() for tensor in tensors.values())
        kinds = json.loads(Path(place, "config.json").read_text())["architectures"]
        _, seen = getattr(transformers, kinds[0]).from_pretrained(place, output_loading_info=True)
        assert not any(seen.values()), seen
        if validate:
            validate(place)


def _saved(model: Any, path: Any) -> str:
    for parameter in model.parameters():  # what starts at 1 or 0 in every model would hide mistakes
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * 0.01)
    model.save_pretrained(path)
    return str(path)


def make_picollama(path: Any, vocab_size: int = 64) -> str:
    """Make a Llama."""
    config = transformers.LlamaConfig(vocab_size=vocab_size, **_LLAMA)
    return _saved(transformers.LlamaForCausalLM(config), path)


def make_picogranite(path: Any, vocab_size: int = 64) -> str:
    """Make a Granite, whose head is tied."""
    config = transformers.GraniteConfig(vocab_size=vocab_size, **_LLAMA)
    return _saved(transformers.GraniteForCausalLM(config), path)


def make_gpt2size(path: Any, vocab_size: int = 64) -> str:
    """Make a GPT-2 with the number of layers that the smallest one has."""
    config = transformers.GPT2Config(vocab_size=vocab_size, n_layer=12, n_embd=32, n_head=4)
    return _saved(transformers.GPT2LMHeadModel(config), path)


def make_picoLlaVa(path: Any) -> str:  # noqa: N802 - mergekit's name
    """Make a model with a vision tower."""
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(vocab_size=64, **_LLAMA),
        vision_config=transformers.CLIPVisionConfig(**_VISION),
        image_token_index=63,
    )
    return _saved(transformers.LlavaForConditionalGeneration(config), path)
