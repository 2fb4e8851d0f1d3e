"""The merge methods, one short file per family.

To add one, write its file with a tuple ``METHODS``, and add the file to the list below.
"""

from mixmerge.merging.methods import (
    breadcrumbs,
    dare,
    della,
    linear,
    model_stock,
    ram,
    sce,
    slerp,
    spherical_mean,
    takeover,
    ties,
)
from mixmerge.merging.methods.method import Method

_FAMILIES = (
    *(linear, slerp, spherical_mean, ties, dare, della, breadcrumbs),
    *(model_stock, sce, ram, takeover),
)

METHODS: dict[str, Method] = {
    method.name: method for family in _FAMILIES for method in family.METHODS
}
"""Every method by the name that recipes use, which is mergekit's."""
