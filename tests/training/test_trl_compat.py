"""Changes to TRL's behaviour leave its numbers as they are."""

from typing import Any

import pytest

from mixmerge.training import trl_compat
from mixmerge.training.trl_compat import labelled_positions_only

OUTPUTS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def scored(function: Any, *, bias: bool, softcap: float | None, outputs: tuple[str, ...]) -> Any:
    """Return what TRL's function makes of random states, and the gradients of a loss of it."""
    import torch

    draw = torch.Generator().manual_seed(0)
    hidden, weight = (
        torch.randn(size, generator=draw, requires_grad=True) for size in ((7, 16), (40, 16))
    )
    shift = torch.randn(40, generator=draw, requires_grad=True) if bias else None
    targets = torch.randint(40, (7,), generator=draw)
    found = function.apply(hidden, weight, shift, targets, 0.7, 13, softcap, 0.3, outputs)
    found[0].square().sum().backward()
    made = [hidden.grad, weight.grad] + ([shift.grad] if shift is not None else [])
    return [None if each is None else each.detach().float() for each in (*found, *made)]


@pytest.mark.parametrize("outputs", [OUTPUTS, ("log_probs",), ("log_probs", "is_top1")])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("most", [2**26, 7])
def test_whole_logits_give_trls_values_and_gradients(
    outputs: tuple[str, ...],
    bias: bool,
    softcap: float | None,
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every output and gradient is that of the chunks, and TRL's function is put back."""
    import torch
    import trl.trainer.utils as trl_utils

    monkeypatch.setattr(trl_compat, "_FEW_LOGITS", most)
    chunked = trl_utils._ChunkedLogProbFunction
    asked: dict[str, Any] = {"bias": bias, "softcap": softcap, "outputs": outputs}
    wanted = scored(chunked, **asked)
    with labelled_positions_only():
        found = scored(trl_utils._ChunkedLogProbFunction, **asked)
    assert trl_utils._ChunkedLogProbFunction is chunked
    for one, other in zip(found, wanted, strict=True):
        if one is None or other is None:
            assert one is other
        else:
            torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)
