"""Label places: nothing hidden, nothing outside, the same every time."""

import numpy as np
import pytest

from mixmerge.reporting.named_points import overlap, place_labels

FRAME = np.array([0.0, 0.0, 400.0, 400.0])
NO_BARS = np.empty((0, 4))


@pytest.mark.parametrize("seed", range(5))
def test_names_of_a_crowd_hide_nothing(seed: int) -> None:
    """Fifteen labels in a crowd overlap neither each other, nor a point, nor the frame."""
    random = np.random.default_rng(seed)
    points = random.uniform(90, 310, (15, 2))
    sizes = np.column_stack([random.uniform(20, 70, 15), np.full(15, 12.0)])
    boxes = place_labels(points, sizes, FRAME, NO_BARS)
    for index, (box, (width, height)) in enumerate(zip(boxes, sizes, strict=True)):
        left, bottom, right, top = box.tolist()
        assert right - left == pytest.approx(width)
        assert top - bottom == pytest.approx(height)
        assert min(left, bottom) >= 0
        assert max(right, top) <= 400
        for other in boxes[index + 1 :]:
            assert overlap(box, other) == 0
        for x, y in points:
            assert not (left < x < right and bottom < y < top)


def test_a_lone_label_stays_beside_its_point_and_off_its_error_bars() -> None:
    """A label with room sits within a few pixels of its point, between the arms of its cross."""
    cross = np.array([(160.0, 199, 240, 201), (199, 160, 201, 240)])
    point = np.array([200.0, 200.0])
    (box,) = place_labels(point[None], np.array([[50.0, 12.0]]), FRAME, cross)
    assert np.hypot(*(np.clip(point, box[:2], box[2:]) - point)) < 10
    assert overlap(box, cross).sum() == 0


def test_places_are_the_same_every_time() -> None:
    """Even equal points get the same places in two calls."""
    points, sizes = np.full((4, 2), 200.0), np.tile([40.0, 12.0], (4, 1))
    first, second = (place_labels(points, sizes, FRAME, NO_BARS) for _ in range(2))
    assert (first == second).all()
    assert len(np.unique(first, axis=0)) == 4


def test_labels_at_the_edge_turn_inwards() -> None:
    """A point in a corner has its label inside the frame."""
    points, sizes = np.array([[399.0, 399.0]]), np.array([[60.0, 12.0]])
    (box,) = place_labels(points, sizes, FRAME, NO_BARS)
    assert (box[2:] <= 400).all()
