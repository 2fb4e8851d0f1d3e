"""A generation in a process of its own, that may be killed at any moment.

python -m tests.synthesis.generating_client URL SEEDS OUT
"""

import sys
from pathlib import Path

from tests.synthesis.conftest import made

from mixmerge.evaluation.calls import endpoint
from mixmerge.synthesis.engine import generate

IN_FLIGHT = 4
STEPS = [
    {"rephrase": 3},
    {"translate": ["hi"]},
    {"answer": "safe", "of": ["rephrase", "translate"], "samples": 2},
    {"contrast": "unsafe"},
]


def main(url: str, seeds: Path, out: Path) -> None:
    endpoint.FIRST_BACK_OFF = 0.01
    generate(made(seeds, url, STEPS, {"concurrency": IN_FLIGHT, "timeout_seconds": 20}), out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
