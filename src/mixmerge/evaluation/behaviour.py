"""How alike models behave, measured on prompts without labels and without generating anything.

Each model reads the prompts once. At the position before the answer, two things are kept: the
probabilities of the next token, and the hidden states after every layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch

from mixmerge.errors import DataError
from mixmerge.evaluation.backends.encoding import encode
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt
from mixmerge.records.behaviour import Agreement, Behaviour

FEWEST = 10
"""Prompts below which the measures say nothing; the unbiased CKA is not defined below 4."""
_BATCH = 8


@dataclass(frozen=True)
class Activations:
    """What a model does at the position before its answer."""

    log_probabilities: np.ndarray
    """(prompts, tokens), float32, natural logarithms."""
    states: np.ndarray
    """(layers, prompts, hidden size), float32; the embedding is left out, since it only names the
    last token of the prompt, which is the same for all."""


def measure_behaviour(
    models: Mapping[str, Path],
    prompts: Sequence[Prompt],
    *,
    base: str | None = None,
    progress: Progress = silent,
) -> Behaviour:
    """Compare models by what they are about to answer.

    One model is in memory at a time. All read the same tokens: those of the chat template of the
    first model that is not the base, because base models often have none.

    Args:
        models: folders of models with the same tokens, by name.
        prompts: at least `FEWEST`.
        base: the name of the model that the others were trained from; compares their changes.
        progress: called with the prompts read.

    Raises:
        DataError: there are too few prompts, or one does not fit into the context.
        ModelError: a model cannot be loaded, or has no chat template.
    """
    if len(prompts) < FEWEST:
        raise DataError(f"{len(prompts)} prompts are too few to compare models on; give {FEWEST}.")
    loaded = {name: LoadedModel(path) for name, path in models.items()}
    speaker = next(model for name, model in loaded.items() if name != base or len(loaded) == 1)
    rows = [item.ids for item in encode(prompts, speaker, DecodingSpec(max_new_tokens=1))]
    found = {}
    for place, name in enumerate([*loaded]):
        progress(place * len(rows), len(loaded) * len(rows), f"reading with {name}")
        # Popped, so that each model leaves the memory before the next one is loaded.
        found[name] = activations(loaded.pop(name), rows)
    progress(len(found) * len(rows), len(found) * len(rows), "comparing")
    start = None if base is None else found[base]
    return Behaviour(
        prompts=len(prompts),
        agreements=tuple(
            Agreement(
                first=a,
                second=b,
                kl=divergence(found[a].log_probabilities, found[b].log_probabilities),
                same_token=_same_token(found[a], found[b]),
                cka=float(np.mean([*map(unbiased_cka, found[a].states, found[b].states)])),
                change_cosine=None
                if start is None or base in (a, b)
                else _cosine(found[a].states - start.states, found[b].states - start.states),
            )
            for a, b in combinations(found, 2)
        ),
    )


@torch.inference_mode()
def activations(model: LoadedModel, rows: Sequence[Sequence[int]]) -> Activations:
    """Read token rows, in batches of like length, and keep what stands before the answer."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    logs: dict[int, np.ndarray] = {}
    states: dict[int, np.ndarray] = {}
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        ids, mask = model.padded([rows[place] for place in batch])
        # Padding stands on the left; without positions, learned ones would be those of the row.
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        output = model.network(
            ids, attention_mask=mask, position_ids=positions, output_hidden_states=True,
            use_cache=False, logits_to_keep=1,
        )  # fmt: skip
        logits = output.logits[:, -1].float().log_softmax(-1).cpu().numpy()
        layers = torch.stack([each[:, -1].float() for each in output.hidden_states[1:]])
        for row, place in enumerate(batch):
            logs[place], states[place] = logits[row], layers[:, row].cpu().numpy()
    places = range(len(rows))
    return Activations(
        np.stack([logs[place] for place in places]),
        np.stack([states[place] for place in places], axis=1),
    )


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Return half of KL(p‖q) + KL(q‖p) in nats, averaged over the rows.

    Args:
        p: natural logarithms of probabilities, (rows, tokens).
        q: the same for another model.
    """
    p, q = p.astype(np.float64), q.astype(np.float64)
    # A token that is impossible for both has no difference of logarithms, and adds nothing.
    difference = np.subtract(p, q, where=p != q, out=np.zeros_like(p))
    return float(((np.exp(p) - np.exp(q)) * difference).sum(-1).mean() / 2)


def unbiased_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return the linear CKA of two sets of states, with the unbiased estimate of HSIC.

    Kornblith et al. 2019 (arXiv:1905.00414), with the estimate of Song et al. 2012 (equation 5),
    because the plain one is near 1 for any two models where there are fewer prompts than
    dimensions.

    Args:
        x: (prompts, hidden size).
        y: (prompts, hidden size); the sizes may differ.
    """
    grams = [each.astype(np.float64) @ each.T.astype(np.float64) for each in (x, y)]
    for gram in grams:
        np.fill_diagonal(gram, 0.0)
    k, l = grams  # noqa: E741 - as in the paper
    both, own = _hsic(k, l), _hsic(k, k) * _hsic(l, l)
    return both / own**0.5 if own > 0 else 1.0 if np.array_equal(k, l) else 0.0


def _hsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741 - as in the paper
    n = len(k)
    whole = (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2))
    return float((whole - 2 / (n - 2) * k.sum(0) @ l.sum(0)) / (n * (n - 3)))


def _same_token(a: Activations, b: Activations) -> float:
    return float((a.log_probabilities.argmax(-1) == b.log_probabilities.argmax(-1)).mean())


def _cosine(d: np.ndarray, e: np.ndarray) -> float | None:
    """Return the mean cosine of changes of shape (layers, prompts, hidden size)."""
    norms = np.linalg.norm(d, axis=-1) * np.linalg.norm(e, axis=-1)
    changed = norms > 0
    return float(((d * e).sum(-1)[changed] / norms[changed]).mean()) if changed.any() else None
