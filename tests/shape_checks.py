"""Types and shapes of arrays are checked in every call of the packages named here.

The annotations are jaxtyping's, which users do not need: modules import them for type checkers
only. In tests there is one: each function is wrapped as its module is imported. Programs that
tests start are not checked.
"""

import importlib
import pkgutil
import sys
import typing

import beartype
import numpy.typing as npt  # noqa: F401 - imported now: it must not see what `check_shapes` does
import pytest
import scipy.optimize
import scipy.special  # noqa: F401 - likewise
from jaxtyping import install_import_hook

import mixmerge.errors  # noqa: F401 - likewise

check = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
"""An int is a float too, as type checkers have it (PEP 484)."""


def check_shapes(package: str) -> None:
    """Import a package, all of its modules, with checks."""
    assert package not in sys.modules, f"{package} was imported without its checks"
    with (
        install_import_hook(package, f"{__name__}.check"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(typing, "TYPE_CHECKING", True)
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module.name}")
