"""Time merges as whole processes: mergekit, mixmerge, and the floor that no merge can go below.

    python -m benchmarks.merge --mergekit MERGEKIT_VENV/bin --folder FOLDER --json merge.json

makes the models (bfloat16, in FOLDER, kept for the next time) and runs, for each size and method,
the floor, mergekit and mixmerge in turn, several times. Both programs get the same recipe and their
own defaults. Before every timed run the inputs have just been read (the floor does it), so they are
in the page cache where that is large enough; older results are removed and the disk has been
synced. mixmerge's kernels are compiled by an untimed run on a tiny model; `--startup` measures
that, too. Close other programs. Sizes are those of `benchmarks.models`; ``20000-tensors`` is a
model of that many small tensors.
"""

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from benchmarks.machine import describe, save
from benchmarks.process import Measured, floor, measure
from benchmarks.recipes import METHODS, inputs, recipe
from benchmarks.tables import Row, markdown

DTYPE = "bfloat16"


@dataclass(frozen=True)
class Bench:
    """Where the programs and the models are."""

    folder: Path
    mixmerge: Path | None
    """The program; None: do not run it."""
    mergekit: Path | None
    """The folder of mergekit's programs; None: do not run it."""

    def models(self, size: str) -> Path:
        """Return the folder of the models of a size; make them where they are missing."""
        command = [sys.executable, "-m", "benchmarks.models", str(self.folder), size]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return self.folder / size

    def commands(self, text: Path, out: Path) -> dict[str, list[str | Path]]:
        """Return each program's command that merges a recipe."""
        commands: dict[str, list[str | Path]] = {}
        if self.mergekit is not None:
            commands["mergekit"] = [self.mergekit / "mergekit-yaml", text, out, "--quiet"]
        if self.mixmerge is not None:
            commands["mixmerge"] = [self.mixmerge, "merge", text, out]
        return commands


def write_recipe(method: str, models: Path, folder: Path) -> Path:
    """Write a method's recipe and return its file."""
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe(method, models, DTYPE), sort_keys=False))
    return path


def turns(bench: Bench, size: str, method: str, repeats: int) -> Iterator[Row]:
    """Run floor and programs in turn; yield what each took."""
    models = bench.models(size)
    files = [file for name in inputs(method) for file in (models / name).glob("*.safetensors")]
    written = sum(file.stat().st_size for file in (models / "base").glob("*.safetensors"))
    with tempfile.TemporaryDirectory(dir=bench.folder) as place:
        work = Path(place)
        text = write_recipe(method, models, work)
        floor(files, work / "floor", 0, sync=False)  # untimed: fills the page cache
        for turn in range(repeats):
            for program, sync in (("floor", False), ("floor with fsync", True)):
                os.sync()
                seconds = floor(files, work / "floor", written, sync=sync)
                yield Row(size, method, turn, program, seconds, model_bytes=written)
            for program, command in bench.commands(text, work / "out").items():
                os.sync()
                taken = measure(command)
                shutil.rmtree(work / "out", ignore_errors=True)
                yield _row(size, method, turn, program, taken, written)


def compile_kernels(bench: Bench, methods: Sequence[str]) -> None:
    """Merge a tiny model with every method, untimed."""
    for method in methods:
        list(turns(dataclasses.replace(bench, mergekit=None), "tiny", method, 1))


def startup(bench: Bench, methods: Sequence[str], repeats: int) -> Iterator[Row]:
    """Time what does not depend on the model: an empty program, help, and first uses.

    The first use of a method has an empty folder for compiled kernels, the second one what the
    first left there.
    """
    assert bench.mixmerge is not None
    models = bench.models("tiny")
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands["merge --help"] = [str(bench.mixmerge), "merge", "--help"]
    for turn in range(repeats):
        for name, command in commands.items():
            yield _row("", name, turn, "mixmerge", measure(command))
        for method in methods:
            with tempfile.TemporaryDirectory() as place:
                text = write_recipe(method, models, Path(place))
                for use in ("first", "second"):
                    command = ["env", f"XDG_CACHE_HOME={place}", str(bench.mixmerge)]
                    taken = measure([*command, "merge", str(text), f"{place}/{use}"])
                    yield _row("tiny", f"{method}, {use} use", turn, "mixmerge", taken)


def _row(
    size: str, method: str, turn: int, program: str, taken: Measured, model_bytes: int = 0
) -> Row:
    if taken.code:
        print(f"{program} failed:\n{taken.output}", file=sys.stderr)
    return Row(
        size, method, turn, program, taken.seconds, taken.cpu_seconds, model_bytes,
        peak_rss=taken.peak_rss,
        peak_anonymous=taken.peak_anonymous,
        failure=taken.last_line if taken.code else "",
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for the models; tens of GB")
    parser.add_argument("--mergekit", type=Path, help="folder of mergekit's programs (VENV/bin)")
    parser.add_argument(
        "--mixmerge", type=Path, default=Path(sys.executable).with_name("mixmerge"), help="program"
    )
    parser.add_argument("--sizes", nargs="+", default=["0.1", "0.5"], metavar="SIZE")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["mixmerge", "mergekit"])
    parser.add_argument("--startup", action="store_true", help="only start-up and compilation")
    parser.add_argument("--json", type=Path, help="file for every single time")
    arguments = parser.parse_args()
    arguments.only = "mixmerge" if arguments.startup else arguments.only
    if arguments.only != "mixmerge" and not arguments.mergekit:
        parser.error("give --mergekit VENV/bin, or --only mixmerge")
    return arguments


def _run(arguments: argparse.Namespace) -> None:
    bench = Bench(
        arguments.folder,
        None if arguments.only == "mergekit" else arguments.mixmerge,
        None if arguments.only == "mixmerge" else arguments.mergekit,
    )
    if bench.mixmerge is not None and not arguments.startup:
        compile_kernels(bench, arguments.methods)
    rows = (
        startup(bench, arguments.methods, arguments.repeats)
        if arguments.startup
        else (
            row
            for size in arguments.sizes
            for method in arguments.methods
            for row in turns(bench, size, method, arguments.repeats)
        )
    )
    about, seen = describe(bench.mergekit), []
    for row in rows:
        seen.append(row)
        print(f"{row.size} {row.method} {row.turn} {row.program}: {row.seconds:.2f} s",
              file=sys.stderr)  # fmt: skip
        save(arguments.json, about, "rows", seen)
    print(markdown(seen))


if __name__ == "__main__":
    _run(_arguments())
