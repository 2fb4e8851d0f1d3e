"""Which outputs of a run folder belong to its study, finished or not: what a report may show."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mixmerge.execute.plan import Planned
from mixmerge.execute.store import STEP, Store
from mixmerge.files import read_json
from mixmerge.fingerprint import fingerprint


def to_show(planned: Sequence[Planned], store: Store) -> dict[str, Path]:
    """Return the folders of the steps whose output is that of the study as it is now asked.

    These are the finished steps, and those that an earlier version of mixmerge finished. What was
    asked otherwise, with another seed or by another study in the same folder, is not among them.

    Args:
        planned: all steps of the study, each after its inputs.
        store: the run folder.
    """
    shown: dict[str, Path] = {}
    expected: dict[str, Path] = {}
    for item in planned:
        folder = item.folder or _of_an_earlier_version(item, store.root, expected)
        if folder is not None:
            shown[item.step.id] = expected[item.step.id] = folder
        elif item.key is not None:
            expected[item.step.id] = store.folder(item.step, item.key)
    return shown


def _of_an_earlier_version(item: Planned, root: Path, expected: Mapping[str, Path]) -> Path | None:
    """Return the finished step of the same name if it was asked the same, of the same inputs."""
    # Results are not taken from earlier: they follow from the verdicts, and are quickly made again.
    if item.earlier is None or item.step.kind == "results":
        return None
    asked = read_json(item.earlier / STEP)
    same = fingerprint(asked["settings"]) == fingerprint(dict(item.step.settings))
    inputs = {role: root / folder for role, folder in asked["inputs"].items()}
    same = same and inputs == {role: expected.get(up) for role, up in item.step.inputs.items()}
    return item.earlier if same else None
