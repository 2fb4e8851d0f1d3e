"""mixmerge: should I mix my training data, or train apart and merge the models?

Every command is a function of the same name::

    from mixmerge import run
    finished = run("study.yaml")
    finished.results.models["dpo-slerp"].general.win_rate
"""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmerge.execute.status import status
    from mixmerge.merge.engine import merge
    from mixmerge.merge.inspect import inspect
    from mixmerge.study.adopt import adopt
    from mixmerge.study.explain import explain as plan
    from mixmerge.study.parts import evaluate, mix, train
    from mixmerge.study.run import demo, report, run

__version__ = "0.1.0"

__all__ = [
    "adopt",
    "demo",
    "evaluate",
    "inspect",
    "merge",
    "mix",
    "plan",
    "report",
    "run",
    "status",
    "train",
]

_WHERE = {
    "adopt": ("mixmerge.study.adopt", "adopt"),
    "demo": ("mixmerge.study.run", "demo"),
    "evaluate": ("mixmerge.study.parts", "evaluate"),
    "inspect": ("mixmerge.merge.inspect", "inspect"),
    "merge": ("mixmerge.merge.engine", "merge"),
    "mix": ("mixmerge.study.parts", "mix"),
    "plan": ("mixmerge.study.explain", "explain"),
    "report": ("mixmerge.study.run", "report"),
    "run": ("mixmerge.study.run", "run"),
    "status": ("mixmerge.execute.status", "status"),
    "train": ("mixmerge.study.parts", "train"),
}


class _Package(types.ModuleType):
    """Keeps the public functions from being hidden by the packages of the same names.

    ``mixmerge.merge`` is both. Importing a package would bind it to the name here, and
    ``from mixmerge import merge`` would give one or the other, depending on what ran before.
    ``from mixmerge.merge.engine import ...`` does not need the binding; ``mixmerge.merge.engine``
    is found because the function gets the package's attributes.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _WHERE and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: importing mixmerge stays light."""
    if name not in _WHERE:
        raise AttributeError(f"module 'mixmerge' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    function = getattr(importlib.import_module(module), attribute)
    package = sys.modules.get(f"{__name__}.{name}")
    if package is not None:
        function.__dict__ = package.__dict__
    return function
