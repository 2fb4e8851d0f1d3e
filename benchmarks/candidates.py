"""What a candidate of a search costs before it answers: merging into a model that is loaded.

    python -m benchmarks.models FOLDER 0.5
    python -m benchmarks.candidates FOLDER/0.5

Two fine-tunes in bfloat16 are merged again and again into one network in float32, with other
weights each time. The first merge reads the files from the disk; the later ones find them in the
page cache. Beside it: how long it takes to read the two files from there and to copy one of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from mixmerge.merging.in_place import merge_into
from mixmerge.merging.spec import MergeSpec

METHODS = ("linear", "task_arithmetic", "slerp", "ties", "dare_ties")


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def floor(files: list[Path]) -> tuple[float, float]:
    """Return the seconds, and those of the processor, to read files from the page cache."""
    places = [bytearray(file.stat().st_size) for file in files]

    def read() -> None:
        for file, place in zip(files, places, strict=True):
            with file.open("rb", buffering=0) as stream:
                at = memoryview(place)
                while at and (count := stream.readinto(at)):
                    at = at[count:]

    read()
    before = time.process_time()
    seconds = min(timed(read) for _ in range(3))
    return seconds, (time.process_time() - before) / 3


def main() -> None:
    """Measure every method and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="a folder of benchmarks.models")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    paths = {name: asked.models / name for name in ("a", "b")}
    network = AutoModelForCausalLM.from_pretrained(paths["a"], dtype=torch.float32)
    state = network.state_dict()
    weights = sum(tensor.numel() for tensor in state.values())
    reading = floor([file for path in paths.values() for file in path.glob("*.safetensors")])
    took = f"{reading[0]:.2f} s ({reading[1]:.2f} s of the processor)"
    print(f"{weights / 1e9:.2f} B weights; both models read from the page cache: {took}")
    print("| method | first, s | later, s | CPU, s |\n|---|---:|---:|---:|")
    for method in METHODS:
        taken, busy = [], []
        for number in range(asked.repeats + 1):
            share = (number + 1) / (asked.repeats + 2)
            spec = MergeSpec.model_validate(
                {"method": method, "models": {"a": share, "b": 1 - share}}
                | ({"parameters": {"density": 0.5}} if "ties" in method else {})
            )
            recipe = spec.to_recipe(paths, asked.models / "base")
            before = time.process_time()
            taken.append(timed(lambda made=recipe: merge_into(state, made, threads=asked.threads)))
            busy.append(time.process_time() - before)
        later, cpu = statistics.median(taken[1:]), statistics.median(busy[1:])
        print(f"| {method} | {taken[0]:.2f} | {later:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
