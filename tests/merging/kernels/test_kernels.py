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
LOCATORS = {
    "NUMBA_CACHE_DIR": "UserProvidedCacheLocator",
    "XDG_CACHE_HOME": "UserWideCacheLocator",
}
PROGRAM = """
import numpy as np
from mixmerge.merging.kernels.linear_algebra import _row_dots, dot
result = dot(np.ones(9, 'f4'), np.ones(9, 'f4'))
print(result, sum(_row_dots._machine_code.stats.cache_hits.values()))
"""


def in_a_process(cache: Path, **variables: str) -> list[str]:
    """Run a kernel in a process of its own; return its result and how often its cache was hit."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **(variables or {"NUMBA_CACHE_DIR": str(cache)})},
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


def test_code_is_kept_where_only_its_user_can_write(tmp_path: Path) -> None:
    """In a folder of the user's own, and beside the source, where the source is no safer."""
    place = tmp_path / "cache"
    place.mkdir(mode=0o755)
    (place / "kernel.nbi").write_text("")
    assert cache_is_safe(place, __file__)
    beside = tmp_path / "__pycache__"
    beside.mkdir()
    beside.chmod(0o777)
    assert cache_is_safe(beside, str(tmp_path / "kernels.py"))
    assert not cache_is_safe(beside, __file__)


@pytest.mark.parametrize(
    "kind", ["another user's", "open to all", "open to a group", "a link", "a file", "below it"]
)
@pytest.mark.parametrize("what", ["folder", "file", "above"])
def test_code_is_never_taken_from_where_others_can_write(
    kind: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows the name can make a folder or a file first, and what it holds would be run."""
    above = tmp_path / "above"
    place = above / "cache"
    place.mkdir(parents=True)
    (place / "kernel.nbi").write_text("")
    assert cache_is_safe(place, __file__)
    target = {"folder": place, "file": place / "kernel.nbi", "above": above}[what]
    if kind == "another user's":
        monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
    elif kind == "a link":
        target.rename(tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    elif kind == "a file":
        place = place / "kernel.nbi"
    elif kind == "below it":
        place = place / "missing"
    else:
        target.chmod(0o777 if kind == "open to all" else 0o775)
    assert not cache_is_safe(place, __file__)


@pytest.mark.parametrize("variable", ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def test_no_code_is_kept_where_all_can_write(variable: str, tmp_path: Path) -> None:
    """Neither where the user asks for it nor in the user's cache."""
    place = tmp_path / "cache"
    place.mkdir()
    # As where the program is installed for all users, and this one cannot write beside it.
    settings = {variable: str(place), "NUMBA_CACHE_LOCATOR_CLASSES": LOCATORS[variable]}
    place.chmod(0o777)
    assert in_a_process(place, **settings) == ["9.0", "0"]
    assert not [*place.rglob("*.nb*")]
    place.chmod(0o755)
    in_a_process(place, **settings)
    assert in_a_process(place, **settings) == ["9.0", "1"]
