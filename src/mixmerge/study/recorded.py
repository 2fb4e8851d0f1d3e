"""Which outputs of a run folder belong to its study, and so to its report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.execution.store import RECORD, Store, read_asked
from mixmerge.files import read_object
from mixmerge.fingerprint import fingerprint


class RecordedStore(Store):
    """A run folder whose finished steps count although files that they read are gone."""

    def key(self, step: Step, parents: Mapping[str, str]) -> str:
        """Return a step's digest: the recorded one where a file outside the run is gone."""
        try:
            return super().key(step, parents)
        except SpecError:
            return self._recorded_key(step, parents) or fingerprint([step.id, "a file is gone"])

    def _recorded_key(self, step: Step, parents: Mapping[str, str]) -> str | None:
        finished = list(self.root.glob(f"{step.kind}/{step.name}-*/{RECORD}"))
        for record in sorted(finished, key=lambda file: file.stat().st_mtime, reverse=True):
            asked = read_asked(record.parent)
            if asked is None:
                continue
            same = asked["name"] == step.name and asked["version"] == step.version
            same = same and _asks_the_same(asked, step) and set(asked["files"]) == set(step.files)
            if same and self._built_on(asked["inputs"], step, parents):
                return str(asked["key"])
        return None

    def _built_on(self, inputs: Mapping[str, str], step: Step, parents: Mapping[str, str]) -> bool:
        """Return whether the step's inputs still have the outputs that were recorded."""
        if set(inputs) != set(step.inputs):
            return False
        for role, folder in inputs.items():
            passed_on = read_object(self.root / folder / RECORD)
            if parents[step.inputs[role]] not in (passed_on.get("key"), passed_on.get("output")):
                return False
        return True


def _asks_the_same(asked: Mapping[str, Any], step: Step) -> bool:
    return fingerprint(asked["settings"]) == fingerprint(dict(step.settings))


def to_show(planned: Sequence[Planned], store: Store) -> dict[str, Path]:
    """Return the folders of the steps whose output belongs to the study as it is now.

    These are the finished steps, and those that an earlier version of mixmerge finished. Outputs of
    other settings, of another seed or of another study in the same folder are left out. ``planned``
    holds all steps of the study, each after its inputs.
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
    """Return the finished step of this name if its settings and inputs were the same."""
    # Results are recomputed instead: they follow from the verdicts and take seconds.
    if item.earlier is None or item.step.kind == "results":
        return None
    asked = read_asked(item.earlier)
    if asked is None:
        return None
    inputs = {role: root / folder for role, folder in asked["inputs"].items()}
    known = {role: expected.get(parent) for role, parent in item.step.inputs.items()}
    return item.earlier if _asks_the_same(asked, item.step) and inputs == known else None
