"""Tests of the annotations of mixmerge.stats: shapes are checked in tests, and free otherwise."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from mixmerge.stats.agreement import confusion, krippendorff_alpha
from mixmerge.stats.bootstrap import Floats, bootstrap_means, cluster_totals
from mixmerge.stats.correction import Labelled
from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.length_control import length_feature
from mixmerge.stats.paired import sign_flip_p
from mixmerge.stats.pareto import hypervolume

RNG = np.random.default_rng(1)
ONES, PLACES = np.ones(3), np.arange(3)

WRONG: dict[str, Callable[[], object]] = {
    "one column without its dimension": lambda: cluster_totals(ONES, PLACES, 3),
    "a cluster too few": lambda: ClusterSample(np.ones((4, 2)), PLACES),
    "sums and sizes of other clusters": lambda: bootstrap_means(
        np.ones((3, 2)), np.ones((4, 2)), 10, RNG
    ),
    "single precision": lambda: sign_flip_p(np.ones(3, np.float32), RNG),
    "clusters that are not whole numbers": lambda: confusion(ONES, PLACES, 2),  # type: ignore[arg-type]
    "a table that is not square": lambda: krippendorff_alpha(np.ones((2, 3))),
    "one point without its dimension": lambda: hypervolume(ONES, [0.0, 0.0, 0.0]),
    "a language too few": lambda: length_feature(ONES, ONES, np.array(["en", "fr"])),
    "a field of another length": lambda: Labelled(ONES, np.ones(4), PLACES),
    "a table instead of a column": lambda: ClusterMean.of(np.ones((3, 2)), np.ones((3, 2))),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_refused(call: Callable[[], object]) -> None:
    """In tests, an array of another shape or type than annotated stops the call."""
    with pytest.raises(TypeCheckError, match=r"Expected type|dimension"):
        call()


def test_results_are_checked_too() -> None:
    """The area of one set of points is an array without dimensions, as annotated."""
    area: Floats = hypervolume(np.array([[1.0, 2.0]]), [0.0, 0.0])
    assert isinstance(area, np.ndarray)
    assert area.shape == ()


def test_users_do_not_pay_for_checks() -> None:
    """Outside of tests no checker is imported, not even the package that names the shapes."""
    code = (
        "import importlib, pkgutil, sys, mixmerge.stats\n"
        "for module in pkgutil.iter_modules(mixmerge.stats.__path__):\n"
        "    importlib.import_module(f'mixmerge.stats.{module.name}')\n"
        "print(len([name for name in sys.modules if name.startswith('mixmerge.stats.')]) > 5,\n"
        "      {'jaxtyping', 'beartype'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True set()"
