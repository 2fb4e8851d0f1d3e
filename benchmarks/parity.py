"""Merge the same tiny models with mergekit and mixmerge in float32, and compare every element.

    python -m benchmarks.parity --mergekit MERGEKIT_VENV/bin --folder FOLDER --json parity.json

makes models of many architectures below FOLDER, merges them with every recipe of `recipes.yaml`
and prints, for each method and architecture, the largest difference in float32 units in the last
place (of the largest operand, see `benchmarks.difference`). Random methods are compared at density
1, where nothing is drawn, and otherwise by how much they keep. `--examples` runs mergekit's own
example recipes instead, see `benchmarks.examples`.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from benchmarks.agreement import Cell, markdown
from benchmarks.difference import difference, draws, load, same_rate
from benchmarks.machine import describe, save
from benchmarks.process import measure
from benchmarks.recipes import RANDOM, RECIPES, recipe
from benchmarks.tiny_models import (
    ARCHITECTURES,
    TUNES,
    VOCABULARIES,
    Architecture,
    write_models,
)

import mixmerge

DTYPE = "float32"
_TOKENIZERS: dict[str, dict[str, Any]] = {
    "union": {"tokenizer_source": "union"},
    "base": {"tokenizer_source": "base"},
    "union, padded": {"tokenizer": {"source": "union", "pad_to_multiple_of": 16}},
    "union, one token forced": {
        "tokenizer": {"source": "union", "tokens": {"<both>": {"source": "a", "force": True}}}
    },
}
_WITH_TOKENIZER = ("linear", "slerp", "task_arithmetic", "ties")
"""Recipes that are merged with different vocabularies."""

_OPTIONS = ("--quiet", "--no-lazy", "--random-seed=0")

Recipes = Mapping[str, dict[str, Any]]
"""Recipes by name, as parsed YAML."""


def recipes_for(architecture: Architecture, folder: Path) -> Recipes:
    """Return the recipes of one architecture by name, put to its models."""
    if not architecture.more_tokens:
        return {name: recipe(name, folder, DTYPE) for name in RECIPES}
    found = {}
    for name in _WITH_TOKENIZER:
        for title, setting in _TOKENIZERS.items():
            placed = json.loads(json.dumps(setting).replace('"a"', json.dumps(str(folder / "a"))))
            content = {**recipe(name, folder, DTYPE), **placed}
            if name == "linear":
                content["base_model"] = str(folder / "a")  # without one, the ids are up to chance
            found[f"{name}, {title}"] = content
    return found


def run_mergekit(programs: Path, recipes: Recipes, work: Path) -> dict[str, str]:
    """Run recipes with mergekit; each writes ``work/mergekit/NAME``.

    Returns:
        What was printed by those that failed.
    """
    plainest = dict(list(recipes.items())[:1])
    failed = _run_together(programs, plainest, work)
    if failed:  # an architecture that it cannot read: no other recipe is tried
        return dict.fromkeys(recipes, *failed.values())
    # Slices are what most often fails, and what fails takes all others of its process with it.
    for sliced in (False, True):
        group = {name: text for name, text in recipes.items() if ("slices" in text) == sliced}
        failed |= _run_together(programs, group, work)
    return failed


def _run_together(programs: Path, recipes: Recipes, work: Path) -> dict[str, str]:
    """Run recipes in one process, as starting it takes long; where that fails, in halves."""
    if not recipes:
        return {}
    text, out = work / "recipes.yml", work / "mergekit"
    stages = ({**content, "name": name} for name, content in recipes.items())
    text.write_text(yaml.safe_dump_all(stages, sort_keys=False))
    done = measure([programs / "mergekit-multi", text, "-I", out, *_OPTIONS])
    if not done.code:
        return {}
    if len(recipes) == 1:
        return dict.fromkeys(recipes, done.last_line)
    items = list(recipes.items())
    halves = items[: len(items) // 2], items[len(items) // 2 :]
    one, other = (_run_together(programs, dict(half), work) for half in halves)
    return one | other


def run_mixmerge(recipes: Recipes, work: Path, seed: int) -> dict[str, str]:
    """Run recipes with mixmerge; each writes ``work/mixmerge/NAME``.

    Returns:
        What was said by those that failed.
    """
    failed = {}
    for name, content in recipes.items():
        try:
            mixmerge.merge(content, work / "mixmerge" / name, seed=seed)
        except Exception as error:  # noqa: BLE001 (a fault of ours is a finding, not an end)
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def compare(title: str, architecture: Architecture, folder: Path, programs: Path) -> list[Cell]:
    """Merge the models of one architecture with every recipe and both programs."""
    write_models(folder, architecture)
    recipes = recipes_for(architecture, folder.resolve())
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        # Tensors of one name and seed draw the same numbers: other models, another seed.
        seed = zlib.crc32(title.encode())
        # File names without spaces: mergekit's multi-stage names are folders.
        named = {f"r{number}": content for number, content in enumerate(recipes.values())}
        theirs, ours = run_mergekit(programs, named, work), run_mixmerge(named, work, seed)
        return [
            Cell(title, name, mergekit=theirs.get(key, ""), mixmerge=ours.get(key, ""))
            if key in theirs or key in ours
            else _cell(title, name, work, key, _inputs(named[key], folder.resolve()))
            for key, name in zip(named, recipes, strict=True)
        ]


def _inputs(content: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Return the models that a recipe mentions, the base first."""
    text = json.dumps(content)
    models = {name: folder / name for name in ("base", *TUNES)}
    return {name: path for name, path in models.items() if json.dumps(str(path)) in text}


def _cell(title: str, name: str, work: Path, key: str, models: dict[str, Path]) -> Cell:
    theirs, ours = work / "mergekit" / key, work / "mixmerge" / key
    reference, result = load(theirs), load(ours)
    tensors = [load(path) for path in models.values()]
    if name in RANDOM:
        one, other = draws(tensors[0], reference), draws(tensors[0], result)
        return Cell(
            title, name,
            kept=(one.kept / one.elements, other.kept / other.elements),
            size=(one.square**0.5, other.square**0.5),
            deviations=same_rate(one, other),
        )  # fmt: skip
    return Cell(
        title, name,
        **dataclasses.asdict(difference(reference, result, tensors)),
        other_ids=_other_ids(theirs, ours),
    )  # fmt: skip


def _other_ids(one: Path, other: Path) -> int:
    """Return how many tokens do not have the same number in both models."""
    from tokenizers import Tokenizer

    tokens = [
        set(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab().items())
        for folder in (one, other)
    ]
    return len(tokens[0] ^ tokens[1])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for the models")
    parser.add_argument("--mergekit", type=Path, required=True, help="its programs (VENV/bin)")
    parser.add_argument("--json", type=Path, help="file for every result")
    parser.add_argument("--only", nargs="+", metavar="ARCHITECTURE", help="merge only these")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> None:
    cells: list[Cell] = []
    about = describe(arguments.mergekit)
    chosen = {**ARCHITECTURES, **VOCABULARIES}
    for title, architecture in chosen.items():
        if arguments.only and title not in arguments.only:
            continue
        folder = arguments.folder / title.lower().replace(",", "").replace(" ", "-")
        cells += compare(title, architecture, folder, arguments.mergekit)
        print(f"{title}: done", file=sys.stderr)
        save(arguments.json, about, "cells", cells)
    print(markdown(cells))


if __name__ == "__main__":
    _run(_arguments())
