"""Weights in PyTorch's own files (``.bin``, ``.pt``), for models without safetensors.

Such a file is a zip archive: a pickle that describes the tensors, and their raw bytes. A pickle is
a program, so these files are read only on request, and only with PyTorch's restricted reader
(``weights_only``). It reads just the pickle; the bytes are later read by position, as in
safetensors.
"""

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, ResourceError
from mixmerge.merging.models.safetensors_io import TORCH_NAMES, StoredTensor

_SUFFIXES = (".bin", ".pt", ".pth")
_NOT_WEIGHTS = ("training_args", "optimizer", "scheduler", "rng_state", "scaler")
_FLAG = "--allow-pickle"


def pickled_tensors(folder: Path, *, allowed: bool) -> list[StoredTensor]:
    """Read the headers of a folder's pickled weights, if this is allowed.

    Raises:
        ModelError: it is not allowed, or a file was not written by ``torch.save``.
    """
    files = _pickled_files(folder)
    if not allowed:
        raise ModelError(
            f"{folder}: its weights are pickled ({files[0].name}), and a pickle can hold harmful "
            f"code. Convert it to safetensors, or allow it with `{_FLAG}`: then PyTorch's "
            "restricted reader is used."
        )
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in read_pickled_header(file):
            if tensor.name in tensors:
                both = f"{tensors[tensor.name].file.name} and {file.name}"
                raise ModelError(f"{folder}: tensor {tensor.name!r} is in two files: {both}.")
            tensors[tensor.name] = tensor
    return [*tensors.values()]


def is_pickled(folder: Path) -> bool:
    """Whether a folder has pickled weights and no safetensors."""
    return bool(_pickled_files(folder))


def _pickled_files(folder: Path) -> list[Path]:
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix in _SUFFIXES and not file.name.startswith(_NOT_WEIGHTS) and file.is_file()
    )


def read_pickled_header(file: Path) -> list[StoredTensor]:
    """Return the tensors of a pickled file in the order of their data; no data is loaded.

    Raises:
        ModelError: the file is not a ``torch.save`` of a dictionary of dense tensors.
        ResourceError: PyTorch is older than 2.7, which does not report file offsets.
    """
    content = _load(file)
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{file}: must hold a dictionary of tensors.")
    total = file.stat().st_size
    tensors = [_tensor(file, name, value, total) for name, value in content.items()]
    return sorted(tensors, key=lambda tensor: (tensor.start, tensor.name))


def _load(file: Path) -> Any:
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    try:
        with zipfile.ZipFile(file) as archive:
            orders = [name for name in archive.namelist() if name.endswith("/byteorder")]
            if any(archive.read(name) != b"little" for name in orders):
                raise ModelError(f"{file}: was written on a big-endian machine.")
        with FakeTensorMode():  # tensors without memory, which know their place in the file
            return torch.load(file, weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{file}: contains more than tensors and cannot be read safely ({reason}). "
            "Convert it to safetensors."
        ) from error
    except (
        OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError,
        ArithmeticError, AssertionError, struct.error, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise ModelError(
            f"{file}: not a file of `torch.save` in its zip format, or truncated "
            f"({type(error).__name__}). Convert it to safetensors."
        ) from error


def _tensor(file: Path, name: Any, value: Any, total: int) -> StoredTensor:
    import torch

    def wrong(what: str) -> ModelError:
        return ModelError(f"{file}: tensor {name!r}: {what}; convert the file to safetensors.")

    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise wrong(f"must be a tensor with a name, not {type(value).__name__}")
    dtypes = {getattr(torch, name): dtype for dtype, name in TORCH_NAMES.items()}
    dtype = dtypes.get(value.dtype)
    if dtype is None or value.layout != torch.strided:
        raise wrong(f"is of the type {value.dtype} ({value.layout}), which is not supported")
    if not value.is_contiguous():
        raise wrong(f"is not stored row by row (strides {value.stride()})")
    storage: Any = value.untyped_storage()
    place = getattr(storage, "_checkpoint_offset", None)
    if place is None:
        raise ResourceError("Pickled weights need torch 2.7 or newer: pip install -U torch.")
    start = place + value.storage_offset() * value.element_size()
    tensor = StoredTensor(name, dtype, tuple(value.shape), file, start)
    if start + tensor.nbytes > total:
        raise wrong(f"its data ends at byte {start + tensor.nbytes} of a file of {total} bytes")
    return tensor
