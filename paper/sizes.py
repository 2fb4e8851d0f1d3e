"""Does the answer change with the size of the model? The paper's claims at four widths.

    python -m paper.sizes runs/paper --seeds 3 --json benchmarks/results/sizes.json

runs ``paper/studies/size-*.yaml`` (the first lines of ``sizes.yaml`` make their base models) in
the folders of ``python -m paper``, whose steps are reused where they are the same.
``--table`` only reads finished steps.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import describe, save
from benchmarks.page import show

from mixmerge.errors import DataError
from mixmerge.reporting.formats import decimal
from mixmerge.stats.estimate import Estimate
from paper.claims import claims
from paper.collect import findings
from paper.scores import Findings, Scores
from paper.seeds import arguments, not_judged, read_seeds, run_seeds
from paper.values import in_words

STUDIES = Path("paper/studies")
SHOWN = ("base", "sft-15", "sft-slerp", "sft-ties", "dpo-15", "dpo-slerp", "dpo-ties")
"""Models whose rates are shown above the claims."""


@dataclass(frozen=True)
class Finding:
    """One claim at one width, with the differences behind it."""

    width: int
    claim: str
    decision: str
    evidence: dict[str, Estimate]
    """By comparison; differences of fractions with their 95 % intervals."""


@dataclass(frozen=True)
class Rates:
    """One model at one width, mean over seeds, as fractions."""

    width: int
    model: str
    win: float
    harm: float
    over_refusal: float


def _study(width: int) -> Path:
    return STUDIES / f"size-{width}.yaml"


def read(width: int, root: Path, seeds: int) -> Findings:
    """Collect all seeds of one width."""
    return findings(read_seeds(_study(width), root, seeds), [])


def require_all(width: int, found: Findings) -> None:
    """Check that every model is finished.

    Raises:
        DataError: some are not judged in every seed; the message gives their number and the first.
    """
    if found.unfinished:
        raise not_judged(found.unfinished, f"width {width}: {len(found.unfinished)}")


def decided(width: int, scores: Scores) -> list[Finding]:
    """Decide the claims at one width."""
    return [
        Finding(width, claim.name, claim.decision, {e.what: e.estimate for e in claim.evidence})
        for claim in claims(scores)
    ]


def rates(width: int, scores: Scores) -> list[Rates]:
    """Return the rates of some models at one width."""
    return [
        Rates(
            width,
            model,
            *(scores.rate(axis, model).value for axis in ("general", "safety", "over_refusal")),
        )
        for model in SHOWN
    ]


def markdown(models: list[Rates], rows: list[Finding]) -> str:
    """Return two tables, with a column for each width."""
    widths = list(dict.fromkeys(row.width for row in rows))
    head = "".join(f" {width} |" for width in widths)
    lines = [f"| win rate / harm rate / over-refusal, in % |{head}"]
    lines.append("|---|" + "---:|" * len(widths))
    for model in SHOWN:
        own = [each for each in models if each.model == model]
        said = (
            " / ".join(decimal(100 * x, 1) for x in (each.win, each.harm, each.over_refusal))
            for each in own
        )
        lines.append(f"| {model} | {' | '.join(said)} |")
    lines += ["", f"| claim, and its differences in points |{head}"]
    lines.append("|---|" + "---:|" * len(widths))
    for claim in dict.fromkeys(row.claim for row in rows):
        own_rows = [row for row in rows if row.claim == claim]
        lines.append(f"| {claim} | {' | '.join(f'**{row.decision}**' for row in own_rows)} |")
        for what in own_rows[0].evidence:
            cells = (in_words(row.evidence[what]) for row in own_rows)
            lines.append(f"| … {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = arguments(__doc__, seeds=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 192, 256])
    parser.add_argument("--table", action="store_true", help="only read finished steps")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    asked = parser.parse_args()
    rows: list[Finding] = []
    models: list[Rates] = []
    hours = {}
    for width in asked.widths:
        if not asked.table:
            run_seeds(_study(width), asked)
        try:
            found = read(width, asked.root, asked.seeds)
            require_all(width, found)
        except DataError as error:
            sys.exit(str(error))
        rows += decided(width, found.test)
        models += rates(width, found.test)
        hours[width] = found.hours
    show(asked.docs, "sizes", markdown(models, rows))
    about = describe(None) | {"seeds": asked.seeds, "hours": hours}
    save(asked.json, about | {"rates": [asdict(each) for each in models]}, "findings", rows)


if __name__ == "__main__":
    main()
