"""`compare --of`: looks at the items before all of them are there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison.test_against_references import write_scores

from mixmerge import compare
from mixmerge.comparison.terminal import summary, tables
from mixmerge.errors import SpecError

HALF = np.array([1, 0] * 100)
MORE = np.array([1, 0, 1, 1, 1] * 40)
"""65 more of 200, against 25 less: a difference of 20 points."""


def write(folder: Path, rows: int = 200) -> Path:
    """Two models on the first items."""
    return write_scores(folder / "s.csv", {"b": HALF[:rows], "a": MORE[:rows]})


def test_a_look_is_adjusted_for_the_looks_before_and_to_come(tmp_path: Path) -> None:
    """The earlier the look, the larger its p-value and the wider its interval."""
    path = write(tmp_path)
    (once,) = compare([path]).contrasts
    (last,) = compare([path], of=200, looked=[50, 100]).contrasts
    (middle,) = compare([path], of=400, looked=[100]).contrasts
    (first,) = compare([path], of=1000).contrasts
    assert once.p == last.p == middle.p == first.p
    adjusted = [each.p_adjusted for each in (once, last, middle, first)]
    assert adjusted == sorted(adjusted)
    widths = [each.ci[1] - each.ci[0] for each in (once, last, middle, first) if each.ci]
    assert widths == sorted(widths)
    assert widths[1] == pytest.approx(widths[0], rel=0.03)
    assert (last.fraction, middle.fraction, first.fraction) == (1.0, 0.5, 0.2)
    assert once.p_sequential is None


def test_what_a_reader_sees(tmp_path: Path) -> None:
    """How far the items are, that p-values are not comparable, and what to do next."""
    rows = {"b": HALF[:60], "a": np.roll(HALF[:60], 1)}
    found = compare([write_scores(tmp_path / "s.csv", rows)], of=600)
    (table,) = tables(found)
    assert str(table.title).endswith("10\u202f% of the planned items")
    assert [str(cell) for cell in table.columns[-1].cells] == ["go on"]
    assert summary(found)[0].endswith("have the same mean.")
    assert any("do not compare with" in note for note in found.notes)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"looked": [50]}, r"--looked: --of, the number of items planned in all, is required"),
        ({"of": 400, "looked": [100, 50]}, r"rising numbers of items below --of 400"),
        ({"of": 400, "looked": [200]}, r"--looked 200: a and b have 200 common items on score"),
        ({"of": 400, "seeds": True}, r"with --seeds there is one look"),
    ],
    ids=str,
)
def test_looks_that_make_no_sense(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    """Looks rise, end before the plan, and are not of seeds."""
    with pytest.raises(SpecError, match=message):
        compare([write(tmp_path)], **asked)
