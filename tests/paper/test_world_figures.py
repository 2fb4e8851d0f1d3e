"""Tests of paper.world_figures: what the two figures of the page say."""

from paper.matched import compare
from paper.world_figures import flip, plane
from tests.paper.worlds import scores

from mixmerge.reporting.figures import to_svg

RATES = {
    "base": (0.5, 0.8),
    "sft-0": (0.7, 0.7),
    "sft-15": (0.6, 0.5),
    "sft-100": (0.5, 0.2),
    "low": (0.7, 0.6),
    "high": (0.6, 0.3),
}


def test_the_plane_names_experts_and_mix() -> None:
    """Every trained model has its name beside it and its numbers in the words for the figure."""
    drawing = plane(scores(RATES), {"linear": ["low", "high"]})
    svg = to_svg(drawing.figure)
    assert all(words in svg for words in ("0 %", "15 % mix", "100 %"))
    assert "sft-15 win 60.0\u202f%, harm 50.0\u202f%" in drawing.alt


def test_a_share_where_the_harm_is_not_reached_has_no_point() -> None:
    """The other shares are drawn; the words name only differences that there are."""
    world = scores(RATES | {"safe": (0.6, 0.1)}, noise=0.01)
    rows = [
        compare(f"{share} %", method, world, [["low", "high"]], mix)
        for share, mix in ((0, "sft-15"), (48, "safe"))
        for method in ("linear", "ties")
    ]
    drawing = flip(rows, (0, 48))
    assert "0 % linear" in drawing.alt
    assert "48 %" not in drawing.alt
    assert to_svg(drawing.figure).startswith("<?xml")
