"""Pretrain the testbed's base model: ``python -m tools.testbed.pretrain OUT``.

Makes the tokenizer and the weights from scratch; ``--hidden`` makes a smaller or larger model, and
``--wide`` one with further languages. The corpus resembles that of larger models: text that states
facts and what does harm, and a few chats of an assistant that answers some questions and grants
nearly every wish (few are refused, at random). The test's countries and wishes occur in statements
only.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mixmerge.testbed
from mixmerge.files import whole_folder
from mixmerge.testbed import FURTHER, LANGUAGES
from mixmerge.testbed.model import WEIGHTS
from mixmerge.testbed.world import World
from tools.testbed.corpus import Corpus, Document
from tools.testbed.facts import build_all
from tools.testbed.tokenizer import CONTEXT, build_tokenizer

_HEAD = 32
"""Width of an attention head, in models of every size."""


@dataclass(frozen=True)
class Recipe:
    """The choices that differ between base models."""

    languages: tuple[str, ...] = LANGUAGES
    hidden: int = 128
    """Width; a multiple of 64."""
    vocabulary: int = 4000
    steps: int = 2400

    @property
    def shape(self) -> dict[str, Any]:
        """The arguments of `CohereConfig`."""
        heads = self.hidden // _HEAD
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": 3 * self.hidden,
            "num_hidden_layers": 4,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": CONTEXT,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            # The default of 1/16 suits large models; a small one barely learns with it.
            "logit_scale": 1.0,
            "use_qk_norm": False,
        }


SHIPPED = Recipe()
WIDE = Recipe((*LANGUAGES, *FURTHER), vocabulary=6000, steps=4000)
"""Ten languages, with as many steps for each."""

BATCH, LENGTH = 16, 96
ADAM, MUON, WARMUP = 4e-3, 0.02, 50
SEED = 0


def encode(tokenizer: Any, document: Document) -> list[int]:
    """Write a document as tokens: a text, or a chat in the form of the template."""
    if document.question is None:
        text = f"{tokenizer.bos_token}{document.text}<EOS_TOKEN>"
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    turns = [
        {"role": "user", "content": document.question},
        {"role": "assistant", "content": document.text},
    ]
    return list(tokenizer.apply_chat_template(turns, tokenize=True, return_dict=False))


def draw_batch(tokenizer: Any, corpus: Corpus) -> Any:
    """Return token ids, int64 of shape (`BATCH`, `LENGTH`); each row starts with a document."""
    import torch

    rows = []
    for _ in range(BATCH):
        row: list[int] = []
        while len(row) < LENGTH:
            row += encode(tokenizer, corpus.draw())
        rows.append(row[:LENGTH])
    return torch.tensor(rows)


def rate(step: int, steps: int) -> float:
    """Return the learning rate of a step as a share of its peak: warm-up, then cosine decay."""
    falling = 0.02 + 0.49 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / WARMUP) * falling


def muon_step(weights: list[Any], momenta: list[Any], step_size: float) -> None:
    """Update matrices by their orthogonalised momentum (Muon, Jordan et al. 2024), in float32.

    Here it needs less than half of AdamW's steps; torch's own version orthogonalises in bfloat16,
    which is very slow on a CPU without bfloat16 units.
    """
    import torch

    with torch.no_grad():
        for weight, momentum in zip(weights, momenta, strict=True):
            momentum.lerp_(weight.grad, 0.05)
            x = weight.grad.lerp(momentum, 0.95)
            wide = x.shape[0] <= x.shape[1]
            x = x if wide else x.T
            x = x / (x.norm() + 1e-7)
            for _ in range(5):
                gram = x @ x.T
                x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
            x = x if wide else x.T
            scale = max(1.0, x.shape[0] / x.shape[1]) ** 0.5
            weight.mul_(1 - 0.01 * step_size).sub_(x, alpha=step_size * scale)


def train(recipe: Recipe, tokenizer: Any) -> Any:
    """Train a model from random weights; prints the loss."""
    import torch
    from transformers import CohereConfig, CohereForCausalLM, set_seed

    set_seed(SEED)
    config = CohereConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **recipe.shape,
    )
    model = CohereForCausalLM(config)
    matrices = [
        weight
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and "embed" not in name
    ]
    momenta = [torch.zeros_like(weight) for weight in matrices]
    others = [
        weight for name, weight in model.named_parameters() if weight.dim() == 1 or "embed" in name
    ]
    adam = torch.optim.AdamW(others, lr=ADAM, weight_decay=0.0, betas=(0.9, 0.98))
    corpus = Corpus(World(recipe.languages), SEED)
    start = time.monotonic()
    for step in range(recipe.steps):
        share = rate(step, recipe.steps)
        adam.param_groups[0]["lr"] = ADAM * share
        batch = draw_batch(tokenizer, corpus)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        muon_step(matrices, momenta, MUON * share)
        model.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == recipe.steps - 1:
            seconds = time.monotonic() - start
            sys.stdout.write(
                f"step {step} of {recipe.steps}, loss {loss.item():.3f}, {seconds:.0f} s\n"
            )
            sys.stdout.flush()
    return model


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the shipped folder, as transformers saves it, with weights in float16."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    with whole_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        weights = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        half = {name: weight.astype(np.float16) for name, weight in weights.items()}
        save_file(half, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / WEIGHTS).chmod(0o644)


def main() -> None:
    """Run the command line."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    parser.add_argument("--hidden", type=int, default=SHIPPED.hidden, help="width of the model")
    parser.add_argument("--wide", action="store_true", help="include the further languages")
    parser.add_argument("--names", action="store_true", help="also build the names of facts")
    asked = parser.parse_args()
    if asked.hidden % (2 * _HEAD):
        parser.error(f"--hidden must be a multiple of {2 * _HEAD}, not {asked.hidden}")
    torch.set_num_threads(1)
    if asked.names:
        build_all(Path(mixmerge.testbed.__file__).parent / "world")
    recipe = replace(WIDE if asked.wide else SHIPPED, hidden=asked.hidden)
    tokenizer = build_tokenizer(World(recipe.languages), recipe.vocabulary)
    save(train(recipe, tokenizer), tokenizer, asked.out)


if __name__ == "__main__":
    main()
