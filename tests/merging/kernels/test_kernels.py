"""Behaviour of kernels: compiled once on a machine, never with wrong arrays or others' code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixmerge.merging.kernels import Array, cache_is_safe, kernel

SIGNATURE = "float64(float32[:, ::1], float32, int64[::1])"
PROGRAM = """
import numpy as np
from mixmerge.merging.kernels.linear_algebra import _row_dots, dot
result = dot(np.ones(9, 'f4'), np.ones(9, 'f4'))
print(result, sum(_row_dots._machine_code.stats.cache_hits.values()))
"""


def in_a_process(cache: Path) -> list[str]:
    """Run a kernel in a process of its own; return its result and how often its cache was hit."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()


@kernel(SIGNATURE)
def weigh(values: Array, weight: float, counts: npt.NDArray[Any]) -> float:
    """Count the columns, and add up everything times a weight."""
    total = 0.0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            counts[column] += 1
            total += np.float64(values[row, column]) * weight
    return total


@kernel("float64(float32[::1])")
def total_of(values: Array) -> float:
    """Add up a few values."""
    total = 0.0
    for value in values:
        total += np.float64(value)
    return total


@kernel("float64(float32[::1])")
def of_the_first_two(values: Array) -> float:
    """Ask another kernel about the first two values."""
    return total_of(values[:2])


def test_a_kernel_is_its_function() -> None:
    """It computes what the Python says."""
    counts = np.zeros(3, np.int64)
    assert weigh(np.arange(6, dtype=np.float32).reshape(2, 3), 0.5, counts) == 15 * 0.5
    assert counts.tolist() == [2, 2, 2]


def test_a_kernel_calls_kernels() -> None:
    """They become part of it."""
    assert of_the_first_two(np.array([1, 2, 4], np.float32)) == 3


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        (np.ones((2, 3)), np.zeros(3, np.int64)),
        (np.ones(3, np.float32), np.zeros(3, np.int64)),
        (np.ones((2, 3), np.float32), np.zeros(3, np.int32)),
        (np.ones((3, 2), np.float32).T, np.zeros(3, np.int64)),
    ],
    ids=["type", "dimensions", "another type", "order"],
)
def test_other_arrays_are_refused(values: Array, counts: npt.NDArray[Any]) -> None:
    """Machine code must never see an array that is not what it was compiled for."""
    with pytest.raises(TypeError, match="No matching definition for argument type"):
        weigh(values, 1.0, counts)


def test_a_kernel_is_compiled_once(tmp_path: Path) -> None:
    """The second process loads what the first compiled; a damaged file is compiled again."""
    cache = tmp_path / "cache"
    assert in_a_process(cache) == ["9.0", "0"]
    assert in_a_process(cache) == ["9.0", "1"]
    for file in cache.rglob("*.nb*"):
        file.write_bytes(b"")
    assert in_a_process(cache)[0] == "9.0"


def test_code_is_kept_for_its_user_alone(tmp_path: Path) -> None:
    """A new folder is open to nobody else; without one of its own, Numba's places are used."""
    assert cache_is_safe(str(tmp_path / "cache"))
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert cache_is_safe("")


@pytest.mark.parametrize("kind", ["another user's", "open to all", "a link", "a file"])
def test_code_is_never_taken_from_a_folder_that_others_can_write(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows the name can make the folder first, and what lies in it would be run."""
    place = tmp_path / "cache"
    if kind == "a link":
        place.symlink_to(tmp_path)
    elif kind == "a file":
        place.write_text("")
    else:
        place.mkdir()
    if kind == "open to all":
        place.chmod(0o777)
        assert in_a_process(place) == ["9.0", "0"]
        assert not list(place.iterdir())
    if kind == "another user's":
        monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
    assert not cache_is_safe(str(place))
