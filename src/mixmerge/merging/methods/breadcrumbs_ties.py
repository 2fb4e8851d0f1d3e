"""Breadcrumbs with the sign election of TIES."""

from mixmerge.merging.methods.breadcrumbs import PARAMETERS, merging
from mixmerge.merging.methods.method import Method

METHOD = Method(
    name="breadcrumbs_ties",
    paper="Davari & Belilovsky 2024, arXiv:2312.06795, with the sign election of arXiv:2306.01708",
    parameters=PARAMETERS,
    merge=merging(elect=True),
    base="required",
)
