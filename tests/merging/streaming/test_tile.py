"""A piece of the tensors: the same numbers whatever is stored, and nothing that is not finite."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.selection import values_of
from mixmerge.merging.models.safetensors_io import StoredTensor
from mixmerge.merging.models.sources import HeldSource, Source, StoredSource, WeightFile
from mixmerge.merging.streaming.tile import Tile

SIZE = 100


def numbers(seed: int) -> Array:
    """Return numbers that each type holds without rounding."""
    whole = np.random.default_rng(seed).integers(-99, 100, SIZE)
    return whole.astype(np.float32) / np.float32(8)


def stored(folder: Path, name: str, values: Array, dtype: str, held: bool) -> Source:
    """Return a tensor that is stored in a file, perhaps held in memory."""
    upper_half = (values.view(np.uint32) >> 16).astype(np.uint16)
    narrow: dict[str, npt.NDArray[Any]]
    narrow = {"BF16": upper_half, "F16": values.astype(np.float16), "F32": values}
    content = narrow[dtype].tobytes()
    file = folder / name
    file.write_bytes(content)
    source = StoredSource(StoredTensor(name, dtype, (SIZE,), file, 0), WeightFile(file))
    return HeldSource(source, np.empty(len(content), np.uint8)) if held else source


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("types", [("BF16",) * 3, ("BF16", "F16", "BF16"), ("F32", "BF16", "F16")])
def test_task_vectors_are_models_minus_base(
    tmp_path: Path, types: tuple[str, ...], held: bool
) -> None:
    """Deltas, their keys and the base are those of the numbers, read once or several times."""
    a, b, base = (stored(tmp_path, f"{i}", numbers(i), types[i], held) for i in range(3))
    start, expected = 10, np.stack([numbers(0) - numbers(2), numbers(1) - numbers(2)])[:, 10:60]
    for _ in range(2):
        tile = Tile([a, b], base, start, 50, 1)
        keys = [values_of(vector) for vector in tile.delta_keys()]
        assert np.array_equal(keys, expected)
        assert np.array_equal(tile.to_deltas(), expected)
        assert np.array_equal(tile.base, numbers(2)[10:60])


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("broken", ["model", "base"])
@pytest.mark.parametrize("ask", [Tile.delta_keys, Tile.to_deltas])
def test_what_is_not_finite_is_refused(
    tmp_path: Path, held: bool, broken: str, ask: object
) -> None:
    """An infinite number of a model or of the base is refused with the tensor's name."""
    values = {name: numbers(i) for i, name in enumerate(("model", "base"))}
    values[broken][30] = np.inf
    model, base = (stored(tmp_path, name, values[name], "BF16", held) for name in values)
    assert callable(ask)
    with pytest.raises(ModelError, match=f"tensor {broken} of .* contains NaN or infinity"):
        ask(Tile([model], base, 0, SIZE, 1))
