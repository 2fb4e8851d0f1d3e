"""Mixing: several sources of training rows into one mixture with exact counts.

A `MixSpec` says which sources, in which shares, in which languages and how many rows; `mix`
(in `mixmerge.mixing.materialise`) writes the rows in one fixed order beside a `Manifest` that says
of every source and language what was asked and what was got. Importing this package loads no data
library.
"""

from mixmerge.mixing.manifest import Manifest
from mixmerge.mixing.spec import Columns, MixSpec, SourceSpec

__all__ = ["Columns", "Manifest", "MixSpec", "SourceSpec"]
