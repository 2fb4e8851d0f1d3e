"""A tensor as a stream of tiles: every element once, in order, with what is known of the whole."""

from typing import Any

import numpy as np
import pytest
from tests.merging.methods.arrays import ArraySource

from mixmerge.merging.kernels import Array
from mixmerge.merging.streaming import tensor as tensors
from mixmerge.merging.streaming.tensor import Tensor, Tile


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make tiles of 16 elements, so that little tensors have many."""
    monkeypatch.setattr(tensors, "TILE", 16)


def make(*shape: int, models: int = 2, **settings: Any) -> tuple[Tensor, Array, Array]:
    """Return a tensor with a base, its models and its base."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((models, *shape), dtype=np.float32)
    base = rng.standard_normal(shape, dtype=np.float32)
    sources = [ArraySource(f"model {i}", model) for i, model in enumerate(values)]
    return Tensor("w", sources, ArraySource("base", base), **settings), values, base


SHAPES = [(), (1,), (15,), (16,), (17,), (1000,), (7, 9), (40, 3), (3, 100), (2, 5, 11)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_row", [False, True])
def test_every_element_comes_once(shape: tuple[int, ...], by_row: bool) -> None:
    """Tiles cover the tensor without gaps; those of rows begin and end with one."""
    tensor, values, base = make(*shape, by_row=by_row)
    seen = np.zeros(base.size, np.int64)

    def check(tile: Tile) -> Array:
        piece = slice(tile.start, tile.start + tile.count)
        assert np.array_equal(tile.models, values.reshape(2, -1)[:, piece])
        assert np.array_equal(tile.base, base.reshape(-1)[piece])
        if by_row:
            assert tile.start % tensor.columns == tile.count % tensor.columns == 0
            assert tile.rows(tile.models).shape == (2, tile.count // tensor.columns, tensor.columns)
        return tile.models[0]

    def receive(start: int, merged: Array) -> None:
        seen[start : start + merged.size] += 1

    tensor.apply(check, receive)
    assert (seen == 1).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_products_are_those_of_the_whole(shape: tuple[int, ...]) -> None:
    """What is added up over tiles, numbers and arrays, is what the whole arrays give."""
    tensor, values, base = make(*shape)
    flat = values.reshape(2, -1).astype(np.float64)
    assert tensor.sum(lambda tile: tile.count) == base.size
    got = tensor.sum(lambda tile: tile.models.sum(axis=1, dtype=np.float64))
    assert got == pytest.approx(flat.sum(axis=1))
    assert tensor.products(lambda tile: tile.models) == pytest.approx(flat @ flat.T)


def test_deltas_are_made_once() -> None:
    """Asking a tile again for its task vectors does not subtract the base twice."""
    tensor, values, base = make(5)
    (tile,) = tensor.tiles(range(5))
    tile.to_deltas()
    assert np.array_equal(tile.to_deltas(), values - base)


@pytest.mark.parametrize("by_row", [False, True])
def test_bits_belong_to_elements(by_row: bool) -> None:
    """However a tensor is divided into tiles, an element of a model draws the same bits."""
    tensor, _, base = make(30, 7, by_row=by_row)
    one, *_ = make(30, 7)
    whole = one.random_bits(Tile([], None, 0, base.size, 7), 1)
    for tile in tensor.tiles(range(base.size)):
        drawn = tensor.random_bits(tile, 1)
        assert np.array_equal(drawn, whole[tile.start : tile.start + tile.count])


def test_draws_follow_a_model_to_another_place() -> None:
    """The position in the recipe, not among the models that have the tensor, keys the draws."""
    both, *_ = make(8)
    alone, *_ = make(8, models=1, positions=[1])
    (tile,) = both.tiles(range(8))
    assert np.array_equal(both.random_bits(tile, 1), alone.random_bits(tile, 0))


def test_what_overflows_in_a_thread_is_no_warning() -> None:
    """NumPy's warnings are off wherever tiles are worked on; results are checked later."""
    huge = ArraySource("huge", np.full(4, 3e38))
    tensor = Tensor("w", [huge], ArraySource("base", np.full(4, -3e38)))
    assert tensor.sum(lambda tile: np.isinf(tile.to_deltas()).sum()) == 4
