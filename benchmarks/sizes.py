"""Does the answer change with the size of the model? The paper's claims at four widths.

    python -m benchmarks.sizes runs/paper --seeds 3 --json benchmarks/results/sizes.json

runs ``examples/paper/size-*.yaml`` (the first lines of ``sizes.yaml`` make their base models) in
the folders of ``python -m benchmarks.paper``, whose steps are reused where they are the same.
``--table`` only reads what is done.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import describe, save
from benchmarks.page import show
from benchmarks.paper.collect import findings, read_run
from benchmarks.paper.seeds import arguments, run_seeds

from mixmerge.report.formats import signed
from mixmerge.report.paper.claims import claims

STUDIES = Path("examples/paper")


@dataclass(frozen=True)
class Finding:
    """One claim at one width, with the differences behind it."""

    width: int
    claim: str
    decision: str
    evidence: list[tuple[str, float, float, float]]
    """What, estimate, and the ends of its 95 % interval, in points."""


def decided(width: int, root: Path, seeds: int) -> list[Finding]:
    """Decide the claims at one width."""
    study = STUDIES / f"size-{width}.yaml"
    runs = [read_run(study, root / f"seed-{seed}", seed) for seed in range(seeds)]
    return [
        Finding(
            width,
            claim.name,
            claim.decision,
            [
                (e.what, *(100 * x for x in (e.estimate.value, e.estimate.low, e.estimate.high)))
                for e in claim.evidence
            ],
        )
        for claim in claims(findings(runs, []).test)
    ]


def markdown(rows: list[Finding]) -> str:
    """Return the table."""
    lines = ["| width | claim | here | differences, in points |", "|---:|---|---|---|"]
    for row in rows:
        said = "; ".join(
            f"{what} {signed(x)} ({signed(a)} to {signed(b)})" for what, x, a, b in row.evidence
        )
        lines.append(f"| {row.width} | {row.claim} | {row.decision} | {said} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line."""
    parser = arguments(__doc__, seeds=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 192, 256])
    parser.add_argument("--table", action="store_true", help="only read what is done")
    parser.add_argument("--json", type=Path, help="write the results here, too")
    asked = parser.parse_args()
    rows = []
    for width in asked.widths:
        if not asked.table:
            run_seeds(STUDIES / f"size-{width}.yaml", asked)
        rows += decided(width, asked.root, asked.seeds)
    show(asked.docs, "sizes", markdown(rows))
    save(asked.json, describe(None) | {"seeds": asked.seeds}, "findings", rows)


if __name__ == "__main__":
    main()
