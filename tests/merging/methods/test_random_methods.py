"""DARE and DELLA keep as much as they should, and draw for each model, tensor and seed anew."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.merging.methods.arrays import merge_arrays

from mixmerge.merging.kernels import Array
from mixmerge.merging.streaming import tensor as tensors

SHAPE = (400, 1001)
SIZE = 400 * 1001


@pytest.fixture(autouse=True)
def _many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws come from more than twelve tiles."""
    monkeypatch.setattr(tensors, "TILE", 1 << 15)


METHODS = ["dare_linear", "dare_ties", "della_linear", "della"]


def kept(method: str, density: float = 0.6, models: int = 1, **settings: Any) -> Array:
    """Return a merge of random task vectors of size 1, 2, 4, ... of which a part is kept."""
    signs = np.random.default_rng(0).permutation(SIZE).reshape(SHAPE) / SIZE
    task = [(2**i * (1 + 1e-3 * signs)).astype(np.float32) for i in range(models)]
    settings = {"normalize": False, "rescale": False, **settings}
    settings |= {"weight": (1.0,) * models, "density": (density,) * models}
    return merge_arrays(method, task, np.zeros(SHAPE, np.float32), **settings)


def masks(merged: Array, models: int) -> list[npt.NDArray[np.bool_]]:
    """Return which elements of which model were kept, from the digits of the sum."""
    number = np.rint(merged / 1.0005).astype(int)
    return [(number >> i) % 2 == 1 for i in range(models)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("density", [0.2, 0.6])
def test_the_kept_share_is_binomial(method: str, density: float) -> None:
    """The share of elements that is kept is the density, within five standard errors."""
    share = np.count_nonzero(kept(method, density)) / SIZE
    assert abs(share - density) < 5 * math.sqrt(density * (1 - density) / SIZE)


@pytest.mark.parametrize("method", METHODS)
def test_models_draw_independently(method: str) -> None:
    """Which elements two models keep is uncorrelated."""
    first, second = masks(
        kept(method, models=2, epsilon=(0.0, 0.0)) if "della" in method else kept(method, models=2),
        2,
    )
    assert abs(np.corrcoef(first.reshape(-1), second.reshape(-1))[0, 1]) < 5 / math.sqrt(SIZE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("other", [{"seed": 1}, {"name": "another.weight"}])
def test_seeds_and_tensors_draw_independently(method: str, other: dict[str, Any]) -> None:
    """Another seed or tensor keeps other elements; the same ones keep the same."""
    settings: dict[str, Any] = {"epsilon": (0.0,)} if "della" in method else {}
    first = kept(method, **settings)
    assert first.tobytes() == kept(method, **settings).tobytes()
    pair = [merged.reshape(-1) != 0 for merged in (first, kept(method, **settings, **other))]
    assert abs(np.corrcoef(*pair)[0, 1]) < 5 / math.sqrt(SIZE)


@pytest.mark.parametrize("method", ["dare_linear", "della_linear"])
def test_rescaling_gives_the_norm_back(method: str) -> None:
    """The L1 norm of what is kept is that of the whole task vector."""
    merged = kept(method, rescale=True).astype(np.float64)
    assert np.abs(merged).sum() == pytest.approx(SIZE * 1.0005, rel=1e-5)


def test_della_keeps_large_elements_more_often() -> None:
    """Of the larger half of each row more is kept than of the smaller half, as epsilon says."""
    merged = kept("della_linear", epsilon=(0.3,))
    size = np.random.default_rng(0).permutation(SIZE).reshape(SHAPE)
    larger = size > np.median(size, axis=1, keepdims=True)
    error = 5 * math.sqrt(0.25 / (SIZE / 2))
    assert abs((merged[larger] != 0).mean() - 0.75) < error
    assert abs((merged[~larger] != 0).mean() - 0.45) < error
