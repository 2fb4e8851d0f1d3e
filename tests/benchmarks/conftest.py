"""The benchmarks are scripts beside the package: they are found from the repository's folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
