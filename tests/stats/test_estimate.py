"""Too little evidence is refused with the numbers."""

import pytest

from mixmerge.errors import SampleError
from mixmerge.stats.estimate import require_clusters


def test_too_few_clusters_are_refused_with_both_numbers() -> None:
    """The message says what was asked, how many were seen and how many are required."""
    with pytest.raises(SampleError, match=r"general axis: 9 independent .* at least 10 required"):
        require_clusters(9, "general axis")
    require_clusters(10, "general axis")
