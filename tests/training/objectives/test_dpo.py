"""DPO as an objective."""

import math

import pytest

from mixmerge.training.objectives.dpo import check_start


def test_dpo_must_start_at_ln_2() -> None:
    """Any other first loss means that the reference is another model."""
    check_start(math.log(2), "float32")
    check_start(0.70, "bfloat16")
    with pytest.raises(RuntimeError, match=r"0\.7000 instead of ln 2 = 0\.6931"):
        check_start(0.70, "float32")
    with pytest.raises(RuntimeError, match=r"0\.0680 instead of ln 2"):
        check_start(0.068, "bfloat16")
