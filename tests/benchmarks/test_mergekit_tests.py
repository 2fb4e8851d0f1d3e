"""The run of mergekit's own tests."""

from pathlib import Path

from benchmarks.mergekit_tests import DEVIATIONS, reason

ROOT = Path(__file__).parents[2]


def test_a_test_that_must_fail_has_a_row_of_the_docs() -> None:
    """The reason is the first cell of a row of the table of differences, which says why."""
    page = (ROOT / "docs" / "mergekit.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.count("|") == 5]
    reasons = {row[1].strip(): row[4].strip() for row in rows}
    assert {why for why in DEVIATIONS.values() if not reasons.get(why)} == set()


def test_the_variants_of_a_test_share_its_reason() -> None:
    """A test that is not named must pass."""
    name = next(iter(DEVIATIONS))
    assert reason(f"{name}[slerp]") == DEVIATIONS[name]
    assert reason("test_another") is None
