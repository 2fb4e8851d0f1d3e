"""Sampling that depends only on the seed and the prompt."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from mixmerge.evaluation.spec import DecodingSpec
from mixmerge.fingerprint import fingerprint


class KeyedSampling(LogitsProcessor):
    """Samples each row with random numbers of its own prompt.

    Each step keeps one token per row: the first at which the cumulative probability, most probable
    token first, exceeds the step's uniform number (inverse transform sampling). Greedy decoding
    then takes it. The result does not depend on the batch.
    """

    def __init__(self, decoding: DecodingSpec, prompts: Sequence[str], start: int) -> None:
        """Draw all numbers; ``start`` is the position of the first new token of the rows."""
        self._decoding = decoding
        self._start = start
        self._uniform = torch.stack([_uniform(decoding, prompt) for prompt in prompts])

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores of shape (rows, vocabulary): 0 for the drawn token, -inf elsewhere."""
        step = input_ids.shape[1] - self._start
        probabilities = torch.softmax(scores.double() / self._decoding.temperature, dim=-1)
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        cumulated = ordered.cumsum(dim=-1)
        inside = (cumulated - ordered) < self._decoding.top_p
        mass = (ordered * inside).sum(dim=-1, keepdim=True)
        target = self._uniform[:, step, None].to(scores.device) * mass
        place = torch.searchsorted(cumulated, target, right=True)
        # Rounding may move the last target past the kept tokens.
        place = place.clamp(max=inside.sum(dim=-1, keepdim=True) - 1)
        drawn = torch.full_like(scores, -torch.inf)
        return drawn.scatter(-1, tokens.gather(-1, place), 0.0)


def _uniform(decoding: DecodingSpec, prompt: str) -> torch.Tensor:
    key = int(fingerprint(prompt)[:16], 16)
    rng = np.random.default_rng([decoding.seed, key])
    return torch.from_numpy(rng.random(decoding.max_new_tokens))
