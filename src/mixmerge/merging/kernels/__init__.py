"""The arithmetic of merging: pure functions of flat float32 arrays and plain numbers.

No kernel knows a name, a file or a recipe. Each works on a tile, a piece of a tensor that fits the
processor's cache, given as contiguous arrays: ``(count,)`` for one tensor, ``(models, count)`` for
several. Elementwise work is float32, sums over elements are float64 in an order that depends on
the tile alone, so that no result depends on threads or on the width of a vector register.

A loop over elements is a `kernel`: Python that Numba compiles once on every machine.
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
    """A function over contiguous arrays and numbers that runs as machine code.

    Other threads run meanwhile. Arrays must have the types and dimensions of the signature.
    """

    def __init__(self, function: Callable[P, R], signature: str) -> None:
        """Remember the function; importing a module of kernels must stay light."""
        self.function = function
        self.signature = signature
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the kernel, compiling it if this machine has not yet."""
        return self._machine_code(*args, **kwargs)

    @cached_property
    def _machine_code(self) -> Callable[P, R]:
        from numba import config

        with _COMPILING:
            try:
                return self._compiled(cache=cache_is_safe(config.CACHE_DIR))
            except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
                # No place to keep the code, a full disk, or a damaged file.
                return self._compiled(cache=False)

    def _compiled(self, *, cache: bool) -> Callable[P, R]:
        from numba import njit

        function = _for_numba(self.function)
        options = {"cache": cache, "nogil": True, "error_model": "numpy"}
        code: Callable[P, R] = njit(self.signature, **options)(function)
        return code


def _for_numba(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function in which Numba can compile calls of other kernels."""
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

    The function may call kernels of its own module only, whose changes Numba's cache notices. It
    must be deterministic down to the bit on every processor: no ``fastmath``, and sums over
    elements in lanes that are written out, as in `linear_algebra.dot`. Memory is allocated outside:
    scratch arrays are arguments.
    """
    return lambda function: Kernel(function, signature)


def cache_is_safe(folder: str) -> bool:
    """Return whether nobody else can have written to the folder whose machine code would be run.

    ``NUMBA_CACHE_DIR`` must be this user's and writable by nobody else. Where it is empty, Numba
    keeps code beside the source or in the user's cache.
    """
    if not folder:
        return True
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        state = Path(folder).lstat()
    except OSError:
        return False
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not others_write
