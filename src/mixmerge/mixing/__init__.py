"""Mixing: combine several sources of training rows into one mixture with exact counts.

Importing this package loads no data library; `mixmerge.mixing.materialise` does the work.
"""

from mixmerge.mixing.manifest import Manifest
from mixmerge.mixing.spec import Columns, MixSpec, SourceSpec

__all__ = ["Columns", "Manifest", "MixSpec", "SourceSpec"]
