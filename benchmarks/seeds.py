"""Run the demo with several seeds and print one table: means, spread, and what holds in every seed.

    python benchmarks/seeds.py 5 runs/seeds

Finished seeds are reused. The last lines say, for each stage, in how many seeds the trained models
differ as they should, with paired 95 % intervals that exclude zero.
"""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mixmerge
from mixmerge.evaluate.results import ModelInfo, results
from mixmerge.execute.plan import plan
from mixmerge.execute.store import Store
from mixmerge.study.collect import read_verdicts
from mixmerge.study.run import DEMO, prepare

EXPECTED = [
    # a, b, axis, sign of a - b
    ("0", "base", "general", +1),
    ("0", "15", "general", +1),
    ("15", "100", "general", +1),
    ("0", "base", "safety", 0),
    ("15", "0", "safety", -1),
    ("100", "15", "safety", -1),
]


def run_seeds(count: int, root: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Run what is missing; return each seed's folder and results."""
    found = []
    for seed in range(count):
        out = root / f"seed-{seed}"
        finished = mixmerge.demo(out, seed=seed)
        found.append((out, json.loads(finished.results_file.read_text())))
        print(f"seed {seed}: {out}", file=sys.stderr)
    return found


def table(found: list[dict[str, Any]]) -> str:
    """Return mean and standard deviation over seeds, one line per model."""
    columns: dict[str, Callable[[dict[str, Any]], float]] = {
        "win rate": lambda model: model["general"]["win_rate"],
        "harm rate": lambda model: model["safety"]["harm_rate"],
        "relative change": lambda model: model["safety"]["relative_change"],
        "over-refusal": lambda model: model["over_refusal"]["rate"],
    }
    lines = ["| model | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in found[0]["models"]:
        cells = []
        for read in columns.values():
            values = [100 * read(result["models"][name]) for result in found]
            cells.append(f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def primary(found: list[dict[str, Any]]) -> str:
    """Return the primary contrasts over seeds: mean difference, and significant seeds."""
    lines = ["| merge - mix | axis | mean difference | better | worse | p adjusted < 0.05 |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for index, contrast in enumerate(found[0]["contrasts"]):
        if contrast["family"] != "primary":
            continue
        same = [result["contrasts"][index] for result in found]
        sign = 1 if contrast["axis"] == "general" else -1
        clear = [c for c in same if c["p_adjusted"] < 0.05]
        better = sum(sign * c["difference"] > 0 for c in clear)
        mean = 100 * statistics.mean(c["difference"] for c in same)
        lines.append(
            f"| {contrast['a']} - {contrast['b']} | {contrast['axis']} | {mean:+.1f} points "
            f"| {better} | {len(clear) - better} | {len(clear)} of {len(same)} |"
        )
    return "\n".join(lines)


def expected(out: Path, seed: int) -> dict[str, bool]:
    """Return, for each stage and expected difference, whether its interval says so."""
    prepared = prepare(DEMO, out, seed=seed)
    folders = {p.step.id: p.folder for p in plan(prepared.steps, Store(out)) if p.folder}
    held = {}
    for stage in ("sft", "dpo"):
        names = {"base": "base", **{s: f"{stage}-{s}" for s in ("0", "15", "100")}}
        models = {n: ModelInfo(kind="base" if n == "base" else "mixture") for n in names.values()}
        verdicts = {name: read_verdicts(folders[f"judge/{name}"]) for name in names.values()}
        pairs = [(names[a], names[b], "secondary") for a, b, _, _ in EXPECTED]
        found = results("seeds", "base", models, verdicts, list(dict.fromkeys(pairs)), seed=seed)
        for a, b, axis, sign in EXPECTED:
            (contrast,) = (
                c for c in found.contrasts if (c.a, c.b, c.axis) == (names[a], names[b], axis)
            )
            low, high = contrast.ci or (contrast.difference,) * 2
            holds = {1: low > 0, -1: high < 0, 0: low > -0.05}[sign]
            relation = {1: ">", -1: "<", 0: "≥"}[sign]
            held[f"{stage} {axis}: {a} {relation} {b}"] = holds
    return held


def main(count: int, root: Path) -> None:
    """Print everything as Markdown."""
    runs = run_seeds(count, root)
    found = [result for _, result in runs]
    print(table(found), "\n")
    print(primary(found), "\n")
    print("| expected: the interval excludes zero (≥: excludes -5 points) | seeds |\n|---|---:|")
    held = [expected(out, seed) for seed, (out, _) in enumerate(runs)]
    for name in held[0]:
        print(f"| {name} | {sum(each[name] for each in held)} of {count} |")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
