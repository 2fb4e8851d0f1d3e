"""The packages that a study needs and that are not installed.

Parts of a study name the packages they need (`SpecModel.requires`), and the installed
distribution's metadata names the extra of each package: there is no list here.
"""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from importlib import metadata

from mixmerge.execution.plan import Planned
from mixmerge.spec_model import parts
from mixmerge.study.spec import Study
from mixmerge.yaml_file import Place


def missing_packages(study: Study, todo: Sequence[Planned]) -> Iterator[tuple[Place, str]]:
    """Yield each package that pending steps need and this machine lacks, at its first place."""
    extra_of = {package: extra for extra, packages in extras().items() for package in packages}
    seen: set[str] = set()
    for place, part in parts(study):
        for package in part.requires() if _will_be_used(place, study, todo) else ():
            if package not in seen and importlib.util.find_spec(package) is None:
                seen.add(package)
                known = package in extra_of
                install = f"'mixmerge[{extra_of[package]}]'" if known else package
                yield place, f"needs the package {package}: pip install {install}."


def _will_be_used(place: Place, study: Study, todo: Sequence[Planned]) -> bool:
    """Return whether a pending step uses the part of a study that these keys lead to."""
    kinds = {item.step.kind for item in todo}
    trained = study.trained()
    match place:
        case ("placement", *_):  # of an engine, which checks its own package
            return False
        case ("training", recipe, *_):
            names = [item.step.name for item in todo if item.step.kind == "train"]
            return any(trained[name].train == recipe for name in names)
        case ("evaluate", "axes", *_):
            return bool(kinds & {"judge", "calibrate"})
        case ("evaluate", "generate", *_) | ("base" | "checkpoints", *_):
            return "generate" in kinds
    return bool(todo)


def extras() -> dict[str, list[str]]:
    """Return the packages of each extra, as the installed distribution names them."""
    found: dict[str, list[str]] = {}
    try:
        required = metadata.requires("mixmerge") or []
    except metadata.PackageNotFoundError:
        return {}  # run from a source tree that is not installed
    for line in required:
        named = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if named and extra:
            found.setdefault(extra[1], []).append(named[0])
    return found
