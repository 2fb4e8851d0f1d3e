"""The paper's claims at several widths, side by side."""

from pathlib import Path

import pytest
from paper.scores import Findings
from paper.sizes import decided, markdown, rates, read, require_all
from tests.paper.worlds import LANGUAGES, published_world

from mixmerge.errors import DataError


def test_every_width_is_a_column() -> None:
    """Rates, decisions and differences of each width stand in its own column."""
    worlds = {64: published_world(), 128: published_world(**{"dpo-15": (0.8, 0.2)})}
    rows = [row for width, scores in worlds.items() for row in decided(width, scores)]
    models = [each for width, scores in worlds.items() for each in rates(width, scores)]
    lines = markdown(models, rows).splitlines()

    assert lines[0] == "| win rate / harm rate / over-refusal, in % | 64 | 128 |"
    assert "| dpo-15 | 60.0 / 50.0 / 10.0 | 80.0 / 20.0 / 10.0 |" in lines
    assert "| Merging beats mixing | **agrees** | **disagrees** |" in lines
    (difference,) = (line for line in lines if line.startswith("| … merges − mix: win rate |"))
    narrow, wide = difference.split("|")[2:4]
    assert narrow.startswith(" +11.2 (+")
    assert wide.startswith(" −8.8 (−")


def test_a_width_that_never_ran_is_named(tmp_path: Path) -> None:
    """Where nothing is done there is no table, but what to do."""
    with pytest.raises(DataError, match="not yet judged in all 2 seed"):
        read(128, tmp_path, seeds=2)


def test_an_unfinished_width_names_what_is_missing() -> None:
    """Where some models are missing, no table is made without them."""
    require_all(64, Findings([0], [*LANGUAGES], published_world()))
    found = Findings([0], [*LANGUAGES], published_world(), unfinished=["dpo-ties", "dpo-0"])
    with pytest.raises(DataError, match=r"width 64: 2 models are not judged .* `dpo-ties`"):
        require_all(64, found)
