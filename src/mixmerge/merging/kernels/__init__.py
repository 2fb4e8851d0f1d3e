"""The arithmetic of merging: pure functions of flat float32 arrays and plain numbers.

Kernels know no names, files or recipes. Each works on a tile, a piece of a tensor that fits the
processor's cache, given as contiguous arrays: ``(count,)`` for one tensor, ``(models, count)`` for
several. Elementwise work is float32; sums over elements are float64, in an order that depends only
on the tile, so that results depend neither on threads nor on the width of vector registers.

A loop over elements is a `kernel`: Python that Numba compiles once per machine.
"""

import os
import pickle
import stat
import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
"""Elements of a tensor, or of several."""

P = ParamSpec("P")
R = TypeVar("R")

_COMPILING = threading.RLock()


class Kernel(Generic[P, R]):
    """A function of contiguous arrays and numbers that runs as machine code, without the GIL.

    Arrays must have the types and dimensions of the signature.
    """

    def __init__(self, function: Callable[P, R], signature: str) -> None:
        """Store the function; compilation is delayed, so that imports stay fast."""
        self.function = function
        self.signature = signature
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the kernel, compiling it first if this machine has no cached code."""
        return self._machine_code(*args, **kwargs)

    @cached_property
    def _machine_code(self) -> Callable[P, R]:
        from numba import njit

        options = {"nogil": True, "error_model": "numpy"}
        with _COMPILING:
            function = _for_numba(self.function)
            code: Any = njit(**options)(function)
            try:
                code.enable_caching()
                is_safe = cache_is_safe(Path(code.stats.cache_path), function.__code__.co_filename)
                if is_safe:
                    code.compile(self.signature)
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                is_safe = False  # No place to keep the code, a full disk, or a damaged file.
            if not is_safe:
                code = njit(self.signature, **options)(function)
            code.disable_compile()  # for arrays of other types, which are refused
            compiled: Callable[P, R] = code
            return compiled


def _for_numba(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose calls of other kernels Numba can compile."""
    from numba import njit

    scope = function.__globals__
    called = {name: scope.get(name) for name in function.__code__.co_names}
    kernels = {
        name: njit(error_model="numpy")(_for_numba(value.function))
        for name, value in called.items()
        if isinstance(value, Kernel)
    }
    return FunctionType(function.__code__, {**scope, **kernels}, function.__name__)


def kernel(signature: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Compile a function for one Numba signature, for example ``void(float32[::1], int64)``.

    The function may only call kernels of its own module, since Numba's cache does not notice
    changes elsewhere. It must give the same bits on every processor: no ``fastmath``, and sums over
    elements in explicit lanes, as in `linear_algebra.dot`. It must not allocate: scratch arrays are
    arguments.
    """
    return lambda function: Kernel(function, signature)


def cache_is_safe(folder: Path, source: str) -> bool:
    """Return whether nobody else could have written a module's cached machine code.

    ``folder`` is where Numba caches the code of the module ``source``. Next to the source this does
    not matter: who can write there can also change the source. Elsewhere, in the user's cache or
    ``NUMBA_CACHE_DIR``, the folder and its files must belong to this user, and nobody else may
    write to them or replace the folder.
    """
    if folder == Path(source).parent / "__pycache__":
        return True
    try:
        return (
            folder.resolve() == folder.absolute()
            and all(_is_closed(path, {os.getuid()}) for path in (folder, *folder.iterdir()))
            and all(_is_closed(path, {os.getuid(), 0}) for path in folder.absolute().parents)
        )
    except OSError:
        return False


def _is_closed(path: Path, owners: set[int]) -> bool:
    """Whether only the owners can change a file, or replace it in a folder."""
    state = path.lstat()
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    keeps = path.is_dir() and state.st_mode & stat.S_ISVTX
    return state.st_uid in owners and (not others_write or bool(keeps and 0 in owners))
