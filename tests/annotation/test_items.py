"""The order of a page: practice first, then items with checks that nobody can tell by place."""

from itertools import pairwise

import pytest
from tests.annotation.conftest import Make, material

from mixmerge.annotation.items import ExtraItem
from mixmerge.annotation.task import KEY, KeyItem
from mixmerge.files import read_rows


@pytest.mark.parametrize("questions", [1, 3, 8])
@pytest.mark.parametrize("checks", [0, 1, 3])
def test_practice_items_checks(task: Make, questions: int, checks: int) -> None:
    """No check is the first item or next to another, and there is one in every fifteen items."""
    for seed in range(5):
        extra = [
            ExtraItem(kind="check", axis="harm", prompt=f"{n}?", answer="a", choice="no")
            for n in range(checks)
        ]
        lesson = ExtraItem(axis="harm", prompt="Lesson?", answer="a", choice="no")
        folder = task(
            [material("harm", questions)], "anna", extra=[*extra, lesson, lesson], seed=seed
        )
        folder = folder.rename(folder.with_name(f"task-{seed}"))
        kinds = [row.kind for row in read_rows(folder / KEY, KeyItem)]
        assert kinds[:3] == ["practice", "practice", "item"]
        assert "practice" not in kinds[2:]
        assert ("check", "check") not in pairwise(kinds)
        items = kinds.count("item")
        assert items == 6 * questions
        assert kinds.count("check") == -(-items // 15)
