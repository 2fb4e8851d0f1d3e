"""Loops in Python, compiled to machine code once on every machine.

Numba compiles a kernel when it is first needed. What it emits is kept as an object file, and from
then on llvmlite alone loads it: that takes hundredths of a second, while importing Numba and
finding a function in its own cache takes longer than merging a billion bytes.
"""

import ctypes
import re
import threading
from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from mixmerge.merging.kernels import object_files

P = ParamSpec("P")
R = TypeVar("R")

_LOADING = threading.Lock()
_C_TYPES = {
    "void": ctypes.c_void_p,
    "boolean": ctypes.c_bool,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int64": ctypes.c_int64,
    "uint32": ctypes.c_uint32,
    "uint64": ctypes.c_uint64,
}
_ARGUMENT = re.compile(r"(\w+)(\[[^]]*\])?")


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
        with _LOADING:
            address = object_files.address(self.function, self.signature)
        return _callable(address, self.signature)


def kernel(signature: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Compile a function for one Numba signature, for example ``void(float32[::1], int64)``.

    The function must not allocate or raise: scratch arrays are arguments. It may call other
    kernels, which then become part of it. It must be deterministic
    down to the bit on every processor: no ``fastmath``, and sums over elements in lanes that are
    written out, as in `reductions.dot`.
    """

    def decorate(function: Callable[P, R]) -> Kernel[P, R]:
        return Kernel(function, signature)

    return decorate


def arguments(signature: str) -> tuple[str, list[tuple[str, int]]]:
    """Return the result's type, and for each argument its type and dimensions (0: a number)."""
    result, _, inside = signature.rstrip(")").partition("(")
    return result, [
        (found[1], found[2].count(":") - found[2].count("::") if found[2] else 0)
        for found in _ARGUMENT.finditer(inside)
    ]


def _callable(address: int, signature: str) -> Callable[..., Any]:
    """Return the machine code at an address as a function of arrays and numbers.

    Its lines are written for the signature: a loop over the arguments would take longer than many
    a kernel. A place for the result and one for an exception come first; see `object_files`.
    """
    result, expected = arguments(signature)
    kinds, names, tests, passed = [], [], [], []
    for number, (kind, dimensions) in enumerate(expected):
        name = f"a{number}"
        names.append(name)
        if not dimensions:
            kinds.append(_C_TYPES[kind])
            passed.append(name)
            continue
        kinds += [ctypes.c_void_p, *[ctypes.c_int64] * dimensions]
        tests.append(f"{name}.dtype is {kind} and {name}.ndim == {dimensions}")
        # This also refuses what is not contiguous or cannot be written to.
        passed += [f"pointer({name})", *(f"{name}.shape[{axis}]" for axis in range(dimensions))]
    code = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)(address)
    exception = ctypes.byref(ctypes.c_void_p())
    scope: dict[str, Any] = {
        **{kind: np.dtype(kind) for kind, dimensions in expected if dimensions},
        "answer": _C_TYPES[result],
        "code": code,
        "exception": exception,
        "pointer": (ctypes.c_char * 0).from_buffer,
        "reference": ctypes.byref,
    }
    lines = [
        f"def call({', '.join(names)}):",
        f"    if not ({' and '.join(tests)}):",
        f"        raise TypeError({'a kernel wants ' + signature!r})",
        "    place = answer()",
        f"    code(reference(place), exception, {', '.join(passed)})",
        "    return place.value",
    ]
    exec("\n".join(lines), scope)  # noqa: S102
    call: Callable[..., Any] = scope["call"]
    return call
