"""mixmerge: should I mix my training data, or train apart and merge the models?

Every command is a function of the same name::

    from mixmerge import run
    finished = run("study.yaml")
    finished.results.models["dpo-slerp"].axes["general"].value
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixmerge.comparison.compare import compare
    from mixmerge.execution.status import status
    from mixmerge.merging.adapters.extract import extract
    from mixmerge.merging.engine import merge
    from mixmerge.searching.run import search
    from mixmerge.study.adopt import adopt
    from mixmerge.study.annotate import (
        annotate_adjudicate,
        annotate_plan,
        annotate_read,
        annotate_serve,
    )
    from mixmerge.study.doctor import doctor
    from mixmerge.study.explain import explain as plan
    from mixmerge.study.export import export
    from mixmerge.study.run import demo, evaluate, report, run
    from mixmerge.study.standalone import generate_data, inspect, mix, train
    from mixmerge.study.starter.write import init

__version__ = "0.1.0"

__all__ = [
    "adopt",
    "annotate_adjudicate",
    "annotate_plan",
    "annotate_read",
    "annotate_serve",
    "compare",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "extract",
    "generate_data",
    "init",
    "inspect",
    "merge",
    "mix",
    "plan",
    "report",
    "run",
    "search",
    "status",
    "train",
]

_WHERE = {
    "adopt": ("mixmerge.study.adopt", "adopt"),
    "annotate_adjudicate": ("mixmerge.study.annotate", "annotate_adjudicate"),
    "annotate_plan": ("mixmerge.study.annotate", "annotate_plan"),
    "annotate_read": ("mixmerge.study.annotate", "annotate_read"),
    "annotate_serve": ("mixmerge.study.annotate", "annotate_serve"),
    "compare": ("mixmerge.comparison.compare", "compare"),
    "demo": ("mixmerge.study.run", "demo"),
    "doctor": ("mixmerge.study.doctor", "doctor"),
    "evaluate": ("mixmerge.study.run", "evaluate"),
    "export": ("mixmerge.study.export", "export"),
    "extract": ("mixmerge.merging.adapters.extract", "extract"),
    "generate_data": ("mixmerge.study.standalone", "generate_data"),
    "init": ("mixmerge.study.starter.write", "init"),
    "inspect": ("mixmerge.study.standalone", "inspect"),
    "merge": ("mixmerge.merging.engine", "merge"),
    "mix": ("mixmerge.study.standalone", "mix"),
    "plan": ("mixmerge.study.explain", "explain"),
    "report": ("mixmerge.study.run", "report"),
    "run": ("mixmerge.study.run", "run"),
    "search": ("mixmerge.searching.run", "search"),
    "status": ("mixmerge.execution.status", "status"),
    "train": ("mixmerge.study.standalone", "train"),
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first asked for: importing mixmerge stays light."""
    if name not in _WHERE:
        raise AttributeError(f"module 'mixmerge' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(module), attribute)
