"""``mixmerge doctor``: what this machine has, and what a study needs that it lacks."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from mixmerge.evaluation.judges import JUDGES
from mixmerge.evaluation.judges.python_tests import PythonTestsSpec
from mixmerge.evaluation.sources import SOURCES
from mixmerge.execution.engines import ENGINES
from mixmerge.execution.engines.local import physical_memory_gb
from mixmerge.study.memory import FULL_BYTES, HALF_BYTES, ROOM, gpus
from mixmerge.study.packages import extras
from mixmerge.training.adapter import AdapterSpec

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "safetensors")
_PROGRAMS = {
    "SLURM": (("sbatch",), "`--engine slurm` runs steps as jobs"),
    "Chromium": (
        ("chromium", "chromium-browser", "google-chrome"),
        "only the project's own tests of the report's page use it",
    ),
}


@dataclass(frozen=True)
class Fact:
    """One thing about this machine."""

    name: str
    value: str
    note: str = ""
    """What it is used for, or what to do about it."""


@dataclass(frozen=True)
class Diagnosis:
    """What the machine has, and what a study lacks on it."""

    facts: list[Fact]
    missing: list[str] = field(default_factory=list)
    """What the study needs and the machine lacks, a sentence each; empty without a study."""
    warnings: list[str] = field(default_factory=list)
    """What may be too small for the study, such as memory."""
    study: str | None = None

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def doctor(study: Path | str | None = None) -> Diagnosis:
    """Report what this machine has and, given a study file, what the study lacks on it.

    Loads no model library and uses no network.

    Raises:
        SpecError: the study file is invalid; the message gives the line.
    """
    facts = [*_machine(), *_gpus(), *_versions(), *_extras(), *_programs(), _sandbox()]
    if study is None:
        return Diagnosis(facts)
    from mixmerge.study.explain import explain

    plan = explain(study)
    return Diagnosis(facts, [*plan.missing, *plan.errors], plan.warnings, plan.study)


def _machine() -> Iterator[Fact]:
    yield Fact("cores", f"{len(os.sched_getaffinity(0))}")
    yield Fact("memory", f"{physical_memory_gb():.1f} GB")
    free = shutil.disk_usage(Path.cwd()).free
    yield Fact("disk", f"{free / 1e9:.1f} GB free", "in the working directory, where runs are kept")


def _gpus() -> Iterator[Fact]:
    found = gpus()
    for name, size in found:
        gigabytes = size / 1e9
        full, lora = (gigabytes * ROOM / needed for needed in (FULL_BYTES, HALF_BYTES))
        room = f"trains all weights of {full:.1f} billion, or LoRA on {lora:.0f} billion"
        yield Fact("GPU", f"{name}, {gigabytes:.0f} GB", room)
    if not found:
        yield Fact("GPU", "none", "everything runs on the CPU: use small models")


def _versions() -> Iterator[Fact]:
    yield Fact("Python", platform.python_version())
    for name in ("mixmerge", *_LIBRARIES):
        yield Fact(name, _version(name) or "not installed")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> Iterator[Fact]:
    """Yield each extra of mixmerge: whether its packages are installed, and their use."""
    used: dict[str, list[str]] = {}
    for kinds, what in ((JUDGES, "judge"), (ENGINES, "--engine")):
        for key, spec in kinds.items():
            for package in spec.model_construct().requires():
                used.setdefault(package, []).append(f"`{what} {key}`")
    for key, axis in SOURCES.items():
        source = axis.model_fields[key].annotation
        for package in source.model_construct().requires() if source is not None else ():
            used.setdefault(package, []).append(f"`{key}` axes")
    for package in AdapterSpec(load_in_4bit=True).requires():
        used.setdefault(package, []).append("`adapter: {load_in_4bit: true}`")
    for extra, packages in extras().items():
        absent = [package for package in packages if _version(package) is None]
        purpose = ", ".join(use for package in packages for use in used.get(package, []))
        install = f"; pip install 'mixmerge[{extra}]'" if absent else ""
        yield Fact(f"extra {extra}", "missing" if absent else "installed", f"{purpose}{install}")


def _programs() -> Iterator[Fact]:
    for name, (commands, note) in _PROGRAMS.items():
        here = next(filter(None, map(shutil.which, commands)), None)
        yield Fact(name, here or "not here", note)


def _sandbox() -> Fact:
    isolated = PythonTestsSpec(tests="python").isolates()
    value = "isolated" if isolated else "limits only"
    note = "judge `tests`: answers' code has no network, no processes, no files to write"
    return Fact("sandbox", value, note if isolated else f"{note[:14]}: name a `container` for it")
