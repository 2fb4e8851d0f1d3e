"""The merge methods, a short file each. To add one, write its file and add it to `METHODS`."""

from mixmerge.merging.methods import (
    arcee_fusion,
    breadcrumbs,
    breadcrumbs_ties,
    dare_linear,
    dare_ties,
    della,
    della_linear,
    karcher,
    linear,
    model_stock,
    multislerp,
    nearswap,
    nuslerp,
    passthrough,
    ram,
    ramplus_tl,
    sce,
    slerp,
    task_arithmetic,
    ties,
)
from mixmerge.merging.methods.method import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (
        linear,
        slerp,
        nuslerp,
        multislerp,
        karcher,
        task_arithmetic,
        ties,
        dare_linear,
        dare_ties,
        della_linear,
        della,
        breadcrumbs,
        breadcrumbs_ties,
        model_stock,
        sce,
        ram,
        ramplus_tl,
        nearswap,
        arcee_fusion,
        passthrough,
    )
}
"""Every method by the name that recipes use, which is mergekit's."""
