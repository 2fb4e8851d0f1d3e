"""Behaviour of compiled kernels: once compiled, loaded without Numba; never with wrong arrays."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixmerge.merging.kernels import Array, object_files
from mixmerge.merging.kernels.compiled import arguments, kernel

SIGNATURE = "float64(float32[:, ::1], float32, int64[::1])"
FACTOR = 3.0


def weigh(values: Array, weight: float, counts: npt.NDArray[Any]) -> float:
    """Count the columns, and add up everything times a weight and a constant."""
    total = 0.0
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            counts[column] += 1
            total += np.float64(values[row, column]) * weight * FACTOR
    return total


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    object_files.folder.cache_clear()
    yield tmp_path / "mixmerge" / "kernels"
    object_files.folder.cache_clear()


def check() -> None:
    """Compile or load the kernel and compare it with NumPy."""
    counts = np.zeros(3, np.int64)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert kernel(SIGNATURE)(weigh)(values, 0.5, counts) == 15 * 0.5 * 3
    assert counts.tolist() == [2, 2, 2]


def test_a_signature_is_understood() -> None:
    """Result, types and dimensions are read from Numba's notation; 0 is a number."""
    assert arguments(SIGNATURE) == ("float64", [("float32", 2), ("float32", 0), ("int64", 1)])
    assert arguments("void(uint16[::1])") == ("void", [("uint16", 1)])


def test_a_kernel_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time its code comes from the file."""
    check()
    assert len(list(cache.glob("weigh-*.o"))) == 1
    monkeypatch.setattr(object_files, "_compiled", None)
    check()


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, None])
def test_a_damaged_file_is_compiled_again(cache: Path, damage: bytes | None) -> None:
    """A file that is empty, overwritten or changed in its last byte is not loaded."""
    check()
    (file,) = cache.glob("weigh-*.o")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if damage is None else damage)
    check()
    assert file.read_bytes()[32:] != b""
    check()


def test_a_changed_constant_is_another_kernel(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the code means is in the file's name, not only how it is written."""
    check()
    monkeypatch.setitem(weigh.__globals__, "FACTOR", 4.0)
    values, counts = np.ones((1, 3), np.float32), np.zeros(3, np.int64)
    assert kernel(SIGNATURE)(weigh)(values, 1.0, counts) == 12
    assert len(list(cache.glob("weigh-*.o"))) == 2


@kernel("float64(float32[::1])")
def total_of(values: Array) -> float:
    """Add up a few values."""
    total = 0.0
    for value in values:
        total += np.float64(value)
    return total


@kernel("float64(float32[::1])")
def other_total_of(values: Array) -> float:
    """Return one less than the number of values."""
    return values.size - 1.0


def of_the_first_two(values: Array) -> float:
    """Ask another kernel about the first two values."""
    return total_of(values[:2])


def test_a_kernel_calls_kernels(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They become part of it: where one of them is another, it is another."""
    signature, values = total_of.signature, np.array([1, 2, 4], np.float32)
    assert kernel(signature)(of_the_first_two)(values) == 3
    monkeypatch.setitem(of_the_first_two.__globals__, "total_of", other_total_of)
    assert kernel(signature)(of_the_first_two)(values) == 1
    assert len(list(cache.glob("of_the_first_two-*.o"))) == 2


def test_a_kernel_works_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a read-only installation without a home the code is kept in the temporary folder."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    object_files.folder.cache_clear()
    check()
    assert list((tmp_path / "temporary").rglob("weigh-*.o"))


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
    with pytest.raises(TypeError, match=r"a kernel wants float64|not C contiguous"):
        kernel(SIGNATURE)(weigh)(values, 1.0, counts)


def test_a_kernel_that_allocates_is_refused() -> None:
    """What needs Numba's runtime could not be loaded without it."""

    def allocate(values: Array) -> None:
        room = np.empty(values.size, np.float32)
        values[0] = room[0]

    with pytest.raises(TypeError, match="it must neither allocate nor raise"):
        kernel("void(float32[::1])")(allocate)(np.ones(3, np.float32))


def test_the_second_start_does_without_numba(tmp_path: Path) -> None:
    """A process that finds its kernels compiled never imports Numba."""
    program = (
        "import sys, numpy as np\n"
        "from mixmerge.merging.kernels.reductions import dot\n"
        "print(dot(np.ones(9, 'f4'), np.ones(9, 'f4')), 'numba' in sys.modules)\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "fresh")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["9.0", "True"], ["9.0", "False"]]
