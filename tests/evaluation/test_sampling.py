"""Keyed sampling draws from the right distribution."""

import pytest
import torch

from mixmerge.evaluation.sampling import KeyedSampling
from mixmerge.evaluation.spec import DecodingSpec

LOGITS = torch.tensor([2.0, 0.0, 1.0, -1.0, 1.0])


def frequencies(decoding: DecodingSpec, rows: int = 4000) -> torch.Tensor:
    sampler = KeyedSampling(decoding, [f"prompt {row}" for row in range(rows)], start=3)
    scores = sampler(torch.zeros((rows, 4), dtype=torch.long), LOGITS.repeat(rows, 1))
    assert ((scores == 0).sum(dim=-1) == 1).all()
    assert (scores.isinf().sum(dim=-1) == len(LOGITS) - 1).all()
    return (scores == 0).double().mean(dim=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_the_softmax(temperature: float) -> None:
    """Over many prompts each token is drawn as often as its probability says."""
    decoding = DecodingSpec(max_new_tokens=3, temperature=temperature)
    expected = torch.softmax(LOGITS.double() / temperature, dim=-1)
    assert frequencies(decoding).tolist() == pytest.approx(expected.tolist(), abs=0.025)


def test_top_p_keeps_the_likeliest_tokens_and_renormalises() -> None:
    """With top_p 0.7 only the two likeliest tokens are drawn, in their proportions."""
    decoding = DecodingSpec(max_new_tokens=3, temperature=1.0, top_p=0.7)
    probabilities = torch.softmax(LOGITS.double(), dim=-1)
    # 0.58 alone does not hold 0.7; with the first of the two tokens of 0.21 it does.
    assert probabilities[0] < 0.7 < probabilities[0] + probabilities[2]
    expected = torch.tensor([probabilities[0], 0, probabilities[2], 0, 0])
    expected = expected / expected.sum()
    assert frequencies(decoding).tolist() == pytest.approx(expected.tolist(), abs=0.025)


def test_each_step_has_its_own_number() -> None:
    """A prompt does not repeat its choice at every step."""
    decoding = DecodingSpec(max_new_tokens=50, temperature=2.0)
    sampler = KeyedSampling(decoding, ["prompt"], start=0)
    drawn = {
        int(sampler(torch.zeros((1, step), dtype=torch.long), LOGITS[None]).argmax())
        for step in range(50)
    }
    assert len(drawn) >= 4
