"""The packages that parts of a study need and that are not installed.

Parts name their packages (`SpecModel.requires`), and the installed distribution's metadata names
the extra of each package: there is no list here.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator
from importlib import metadata

from mixmerge.spec_model import parts
from mixmerge.yaml_file import Place


def extras() -> dict[str, list[str]]:
    """Return the packages of each extra, from the metadata of the installed distribution.

    A name has underscores, as modules have, where the distribution's may have hyphens.
    """
    found: dict[str, list[str]] = {}
    try:
        required = metadata.requires("mixmerge") or []
    except metadata.PackageNotFoundError:
        return {}  # run from a source tree that is not installed
    for line in required:
        named = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if named and extra:
            found.setdefault(extra[1], []).append(named[0].replace("-", "_"))
    return found


def missing_packages(
    value: object, place: Place = (), used: Callable[[Place], bool] = lambda _: True
) -> Iterator[tuple[Place, str]]:
    """Yield the first part that needs each package that is not installed, and a sentence.

    Args:
        value: a specification, or a mapping or list of them.
        place: the keys that lead to it.
        used: whether the part at some keys counts.
    """
    extra_of = {name: extra for extra, own in extras().items() for name in own}
    seen: set[str] = set()
    for where, part in parts(value, place):
        for package in part.requires() if used(where) else ():
            if package not in seen and importlib.util.find_spec(package) is None:
                extra = extra_of.get(package)
                install = f"'mixmerge[{extra}]'" if extra else package
                yield where, f"needs the package {package}: pip install {install}."
            seen.add(package)
