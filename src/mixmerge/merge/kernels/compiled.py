"""Loops in Python, compiled to machine code by Numba when they are first needed."""

import os
import tempfile
import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_COMPILING = threading.Lock()


class Kernel(Generic[P, R]):
    """A function over arrays that runs as machine code and lets other threads run meanwhile."""

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
        with _COMPILING:
            _choose_cache()
            from numba import njit

            compiled: Callable[P, R] = njit(
                self.signature, cache=True, nogil=True, error_model="numpy"
            )(self.function)
            return compiled


def kernel(signature: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Compile a function for one Numba signature, for example ``void(float32[::1])``.

    The function must be deterministic down to the bit on every processor: no ``fastmath``, and
    sums over elements in lanes that are written out, as in `reductions.dot`.
    """

    def decorate(function: Callable[P, R]) -> Kernel[P, R]:
        return Kernel(function, signature)

    return decorate


def _choose_cache() -> None:
    """Give Numba a folder for machine code that outlives the process, also when HOME is read-only.

    Numba's own choice, beside the source or in the user's cache folder, fails where neither can
    be written.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    wanted = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixmerge"
    folder = wanted / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        folder = Path(tempfile.gettempdir()) / f"mixmerge-kernels-{os.getuid()}"
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
