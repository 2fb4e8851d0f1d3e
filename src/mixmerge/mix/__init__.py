"""Mixing: several sources of training rows into one mixture with exact counts.

A `MixSpec` says which sources, in which shares, in which languages and how many rows; `mix`
(in `mixmerge.mix.materialise`) writes the rows in one fixed order beside a `Manifest` that says of
every source and language what was asked and what was got. Importing this package loads no data
library.
"""

from mixmerge.mix.manifest import Manifest
from mixmerge.mix.spec import Columns, MixSpec, SourceSpec

__all__ = ["Columns", "Manifest", "MixSpec", "SourceSpec"]
