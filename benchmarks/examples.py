"""Run other people's recipes, unchanged, with mergekit and mixmerge on tiny models.

    python -m benchmarks.examples --mergekit MERGEKIT_VENV/bin --folder FOLDER RECIPES...

RECIPES are YAML files, Markdown files with YAML blocks, folders of these, or mergekit's source
archive (its own examples; nothing of them is kept here). Every model that a recipe names becomes a
tiny random model of the architecture that its name suggests, with as many layers as the recipe
asks for, in a folder of that name, where both programs look first. A result counts when
transformers loads it with no weight missing, unexpected or of another shape.
"""

import argparse
import dataclasses
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from benchmarks.difference import difference, load
from benchmarks.machine import describe, save
from benchmarks.process import Measured, measure
from benchmarks.recipes import RANDOM
from benchmarks.tiny_models import Architecture, write_model

_BLOCK = re.compile(r"```ya?ml\n(.*?)```", re.DOTALL)
_KINDS = {
    "mistral": "mistral",
    "hermes": "mistral",
    "gpt2": "gpt2",
    "phi-2": "phi",
    "qwen2-vl": "qwen2_vl",
}
"""Architectures by what a model's name contains; all others are Llama's."""
_LAYERS = 4
_MERGEKIT = ("--quiet", "--no-write-model-card")
"""Its model card asks the hub about every model, also about those in local folders."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One recipe, of one or more stages."""

    name: str
    text: str

    @property
    def stages(self) -> list[dict[str, Any]]:
        """The YAML documents."""
        return [stage for stage in yaml.safe_load_all(self.text) if isinstance(stage, dict)]

    @property
    def staged(self) -> bool:
        """Whether it has several stages, or named ones."""
        return len(self.stages) > 1 or "name" in self.stages[0]

    @property
    def models(self) -> list[str]:
        """Every model that is named and not the result of an earlier stage."""
        made = {stage.get("name") for stage in self.stages}
        named = _values(self.stages, "model", "base_model")
        return [model for model in dict.fromkeys(named) if model not in made]

    @property
    def layers(self) -> int:
        """Layers that the models need."""
        ends = [end for end in _values(self.stages, "layer_range") if isinstance(end, int)]
        return max(ends, default=_LAYERS)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What both programs did with an example."""

    example: str
    method: str
    mergekit: str = ""
    """Empty where it passed, else what went wrong."""
    mixmerge: str = ""
    ulp: float | None = None
    """Largest difference in float32 units in the last place when every ``dtype`` is float32; None
    where one failed or numbers are drawn."""
    note: str = ""


def read_examples(paths: Sequence[Path]) -> Iterator[Example]:
    """Yield the recipes of files, folders and archives, those that say a ``merge_method``."""
    for path in paths:
        if path.is_dir():
            yield from read_examples(sorted(p for p in path.rglob("*") if p.is_file()))
        elif path.name.endswith(".tar.gz"):
            with tempfile.TemporaryDirectory() as place, tarfile.open(path) as archive:
                archive.extractall(place, filter="data")
                yield from read_examples([Path(place)])
        elif path.suffix in {".yml", ".yaml"}:
            yield from _merges(path.name, [path.read_text()])
        elif path.suffix == ".md":
            yield from _merges(path.name, _BLOCK.findall(path.read_text()))


def _merges(name: str, texts: Sequence[str]) -> Iterator[Example]:
    found = [text for text in texts if re.search(r"^merge_method:", text, re.MULTILINE)]
    for number, text in enumerate(found, 1):
        yield Example(name if len(found) == 1 else f"{name} {number}", text)


def _values(content: Any, *keys: str, key: str = "") -> Iterator[Any]:
    """Yield every text or number that stands at one of ``keys``, however deep."""
    if isinstance(content, dict):
        for name, item in content.items():
            yield from _values(item, *keys, key=name)
    elif isinstance(content, list):
        for item in content:
            yield from _values(item, *keys, key=key)
    elif key in keys:
        yield content


def run(example: Example, mergekit: Path, mixmerge: Path, work: Path) -> Outcome:
    """Run an example with both programs in a folder with its models, and again in float32."""
    for seed, model in enumerate(example.models):
        write_model(work / model, Architecture(_kind(model)), seed, example.layers)
    merges = _merge(example, mergekit, mixmerge, work)
    theirs, ours = (_problem(merge) for merge in merges)
    methods = ", ".join(stage["merge_method"] for stage in example.stages)
    outcome = Outcome(example.name, methods, theirs, ours)
    if theirs or ours or any(method in RANDOM for method in methods.split(", ")):
        return outcome
    exact = Example(example.name, re.sub(r"(?m)^dtype:.*", "dtype: float32", example.text))
    one, other = (load(merge.out) for merge in _merge(exact, mergekit, mixmerge, work))
    found = difference(one, other, [load(work / model) for model in example.models])
    notes = [] if found.same_tensors else ["other tensors"]
    notes += [f"{found.far} of {found.elements} far"] if found.far else []
    return dataclasses.replace(outcome, ulp=found.ulp, note=", ".join(notes))


@dataclasses.dataclass(frozen=True)
class Merge:
    """A finished process and the folder it was to write."""

    done: Measured
    out: Path


def _merge(example: Example, mergekit: Path, mixmerge: Path, work: Path) -> list[Merge]:
    """Merge with mergekit and with mixmerge."""
    recipe = Path("recipe.yml")
    (work / recipe).write_text(example.text)
    out = Path(tempfile.mkdtemp(dir=work))
    theirs, ours = out / "mergekit", out / "mixmerge"
    command: list[str | Path] = [mergekit / "mergekit-yaml", recipe, theirs]
    if example.staged:
        command = [mergekit / "mergekit-multi", recipe, f"-I{out}", f"--out-path={theirs}"]
        theirs = out / example.stages[-1].get("name", "mergekit")
    return [
        Merge(measure([*command, *_MERGEKIT], work), theirs),
        Merge(measure([mixmerge, "merge", recipe, ours], work), ours),
    ]


def _problem(merge: Merge) -> str:
    """Say what is wrong with a result, or nothing."""
    if merge.done.code:
        return merge.done.last_line
    import transformers

    config = transformers.AutoConfig.from_pretrained(merge.out)
    kind = getattr(transformers, config.architectures[0])
    _, info = kind.from_pretrained(merge.out, output_loading_info=True)
    wrong = {key: sorted(value) for key, value in info.items() if value and key.endswith("_keys")}
    return f"transformers: {wrong}" if wrong else ""


def _kind(model: str) -> str:
    return next((kind for part, kind in _KINDS.items() if part in model.lower()), "llama")


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the table of examples."""
    lines = [
        "| example | method | mergekit | mixmerge | largest difference, ulp |",
        "|---|---|---|---|---:|",
    ]
    for outcome in outcomes:
        ulp = "" if outcome.ulp is None else f"{outcome.ulp:.2g} {outcome.note}"
        lines.append(
            f"| {outcome.example} | {outcome.method} | {outcome.mergekit or 'passes'} "
            f"| {outcome.mixmerge or 'passes'} | {ulp.strip()} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all examples; print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--mergekit", type=Path, required=True, help="its programs (VENV/bin)")
    parser.add_argument(
        "--mixmerge", type=Path, default=Path(sys.executable).with_name("mixmerge"), help="program"
    )
    parser.add_argument("--json", type=Path, help="file for every outcome")
    arguments = parser.parse_args()
    outcomes: list[Outcome] = []
    about = describe(arguments.mergekit)
    for example in read_examples(arguments.recipes):
        with tempfile.TemporaryDirectory() as place:
            outcomes.append(run(example, arguments.mergekit, arguments.mixmerge, Path(place)))
        save(arguments.json, about, "outcomes", outcomes)
    print(markdown(outcomes))


if __name__ == "__main__":
    main()
