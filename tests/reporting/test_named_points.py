"""Label places: nothing hidden, nothing outside, the same every time."""

import numpy as np
import pytest

from mixmerge.reporting.named_points import Box, place_labels

FRAME = Box(0, 0, 400, 400)


@pytest.mark.parametrize("seed", range(5))
def test_names_of_a_crowd_hide_nothing(seed: int) -> None:
    """Fifteen labels in a crowd overlap neither each other, nor a point, nor the frame."""
    random = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in random.uniform(90, 310, (15, 2))]
    sizes = [(float(width), 12.0) for width in random.uniform(20, 70, 15)]
    boxes = place_labels(points, sizes, FRAME)
    for index, (box, (width, height)) in enumerate(zip(boxes, sizes, strict=True)):
        assert box.right - box.left == pytest.approx(width)
        assert box.top - box.bottom == pytest.approx(height)
        assert min(box.left, box.bottom) >= 0
        assert max(box.right, box.top) <= 400
        for other in boxes[index + 1 :]:
            assert box.overlap(other) == 0
        for x, y in points:
            assert not (box.left < x < box.right and box.bottom < y < box.top)


def test_a_lone_label_stays_beside_its_point_and_off_its_error_bars() -> None:
    """A label with room sits within a few pixels of its point, between the arms of its cross."""
    cross = [Box(160, 199, 240, 201), Box(199, 160, 201, 240)]
    (box,) = place_labels([(200.0, 200.0)], [(50.0, 12.0)], FRAME, cross)
    assert box.distance(200, 200) < 10
    assert sum(box.overlap(bar) for bar in cross) == 0


def test_places_are_the_same_every_time() -> None:
    """Even equal points get the same places in two calls."""
    points, sizes = [(200.0, 200.0)] * 4, [(40.0, 12.0)] * 4
    first, second = (place_labels(points, sizes, FRAME) for _ in range(2))
    assert first == second
    assert len(set(first)) == 4


def test_labels_at_the_edge_turn_inwards() -> None:
    """A point in a corner has its label inside the frame."""
    (box,) = place_labels([(399.0, 399.0)], [(60.0, 12.0)], FRAME)
    assert box.right <= 400
    assert box.top <= 400
