"""Machine code on disk: compiled by Numba on the first use, loaded by llvmlite ever after."""

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from mixmerge.errors import ResourceError
from mixmerge.files import write_bytes

SYMBOL = "mixmerge_kernel"
_FORMAT = 1
_C_LIBRARY = {"memcpy", "memmove", "memset", "exp", "expf", "log", "logf", "sqrt", "sqrtf"}
_NOTHING_TO_FREE = "define void @NRT_MemInfo_call_dtor(ptr %memory) { ret void }"
"""Arrays made from pointers own no memory, so what frees it is never reached."""
_DIGEST = 32
_LOADED: list[Any] = []
"""Execution engines own the code they loaded."""


def address(function: Callable[..., Any], signature: str) -> int:
    """Return where a kernel's machine code lies in memory.

    Args:
        function: a function that Numba can compile; it may call kernels.
        signature: Numba's, for example ``void(float32[::1], int64)``.
    """
    file = folder() / f"{function.__name__}-{_key(function, signature)}.o"
    code = _read(file)
    if code is None:
        code = _compiled(function, signature)
        with suppress(ResourceError):  # Without room on the disk it is compiled again next time.
            write_bytes(file, hashlib.sha256(code).digest() + code)
    return _load(code)


@cache
def folder() -> Path:
    """Return the folder of object files: the user's cache, or one that can be written."""
    wanted = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(wanted) / "mixmerge" / "kernels"
    try:
        place.mkdir(parents=True, exist_ok=True)
        writable = os.access(place, os.W_OK)
    except OSError:
        writable = False
    return place if writable else _own_temporary_folder()


def _own_temporary_folder() -> Path:
    """Return a folder that nobody else can have written to: what lies in it is run.

    Everyone may make a folder by any name among the temporary ones, so one that is not ours alone
    is left, and one for this process taken.
    """
    place = Path(tempfile.gettempdir()) / f"mixmerge-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = place.lstat()
    except OSError:
        return _folder_of_this_process()
    others_write = state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not others_write
    return place if ours else _folder_of_this_process()


def _folder_of_this_process() -> Path:
    try:
        place = tempfile.mkdtemp(prefix="mixmerge-")
    except OSError:
        return Path(os.devnull)  # in which nothing is found and nothing can be put
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return Path(place)


def _key(function: Callable[..., Any], signature: str) -> str:
    """Identify everything that decides the machine code."""
    code = function.__code__
    constants = {
        name: value
        for name in code.co_names
        if isinstance(value := function.__globals__.get(name), (int, float, np.generic))
    }
    said = [
        _FORMAT,
        signature,
        code.co_code,
        code.co_consts,
        code.co_names,
        code.co_varnames,
        constants,
        [_key(called.function, called.signature) for called in _called(function).values()],
        version("numba"),
        version("llvmlite"),
        _processor(),
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


def _called(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the kernels that a kernel calls, by name."""
    from mixmerge.merging.kernels.compiled import Kernel

    known = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {name: value for name, value in known.items() if isinstance(value, Kernel)}


def _for_numba(function: Callable[..., Any]) -> Any:
    """Return a function that Numba compiles when it is called, with the kernels that it calls."""
    from numba import njit

    parts = {name: _for_numba(called.function) for name, called in _called(function).items()}
    scope = {**function.__globals__, **parts}
    alike = FunctionType(function.__code__, scope, function.__name__, None, function.__closure__)
    return njit(error_model="numpy")(alike)


@cache
def _processor() -> tuple[str, str, str]:
    features: str = llvm.get_host_cpu_features().flatten()
    return llvm.get_default_triple(), llvm.get_host_cpu_name(), features


def _read(file: Path) -> bytes | None:
    """Return the code in a file, or None where there is none or it is damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    code = content[_DIGEST:]
    return code if hashlib.sha256(code).digest() == content[:_DIGEST] else None


def _compiled(function: Callable[..., Any], signature: str) -> bytes:
    """Compile a function that takes each array as a pointer and its dimensions.

    It has Numba's own convention for calls: a place for the result and one for an exception come
    first, and the function returns 0 where there is none.
    """
    from numba import carray, njit, types

    from mixmerge.merging.kernels.compiled import arguments

    result, expected = arguments(signature)
    names, passed, kinds = [], [], []
    pointer: Any = types.CPointer
    for number, (kind, dimensions) in enumerate(expected):
        sizes = [f"n{number}_{axis}" for axis in range(dimensions)]
        shape = "".join(f"{size}, " for size in sizes)
        names += [f"a{number}", *sizes]
        passed.append(f"carray(a{number}, ({shape}))" if dimensions else f"a{number}")
        value = getattr(types, kind)
        kinds += [pointer(value), *[types.int64] * dimensions] if dimensions else [value]
    scope: dict[str, Any] = {"inner": _for_numba(function), "carray": carray}
    exec(f"def entry({', '.join(names)}):\n    return inner({', '.join(passed)})", scope)  # noqa: S102
    entry = njit(getattr(types, result)(*kinds), error_model="numpy")(scope["entry"])
    (compiled,) = entry.overloads.values()
    _initialise()
    module = llvm.parse_assembly(compiled.library.get_llvm_str())
    _keep_only(module, compiled.fndesc.llvm_func_name)
    emitted: bytes = _machine().emit_object(module)
    return emitted


def _keep_only(module: Any, name: str) -> None:
    """Leave one function in a module, under its final name, with all that it calls.

    Raises:
        TypeError: it calls something that only a running Numba has.
    """
    module.link_in(llvm.parse_assembly(_NOTHING_TO_FREE))
    for function in module.functions:
        if not function.is_declaration and function.name != name:
            function.linkage = llvm.Linkage.internal
    module.get_function(name).name = SYMBOL
    machine, passes = _machine(), llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.add_strip_dead_prototype_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    called = [function.name for function in module.functions if function.is_declaration]
    strange = [name for name in called if not name.startswith("llvm.") and name not in _C_LIBRARY]
    if strange:
        raise TypeError(f"a kernel calls {strange[0]}: it must neither allocate nor raise.")


@cache
def _initialise() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _machine() -> Any:
    triple, processor, features = _processor()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=processor, features=features, opt=3, reloc="pic", codemodel="jitdefault"
    )


def _load(code: bytes) -> int:
    _initialise()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _LOADED.append(engine)
    found: int = engine.get_function_address(SYMBOL)
    return found
