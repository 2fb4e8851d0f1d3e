"""Tests of mixmerge.searching.space: points of a cube, and the merges that they are."""

from typing import Any

import numpy as np
import pytest

from mixmerge.searching.space import Space
from mixmerge.study.search_spec import SearchSpec


def space(**own: Any) -> Space:
    """A space of merges of `a` and `b`, or of other models."""
    return Space(
        SearchSpec.model_validate({"models": ["a", "b"], "budget": {"candidates": 9}, **own})
    )


def weights(made: Space, method: str, cube: list[float]) -> list[Any]:
    """The weights of the merge at a point."""
    found = made.candidate(made.point(method, cube))
    assert found is not None
    return [own["weight"] for own in found.merge.models.values()]


def test_two_weights_add_up_to_one() -> None:
    """The coordinate of a line is the first weight, and the second is what is left."""
    assert weights(space(), "linear", [0.3]) == [0.3, 0.7]
    assert weights(space(), "linear", [0.0]) == [0.0, 1.0]


def test_weights_are_even_on_a_simplex() -> None:
    """Points spread over the cube give all models the same weight on average, and sums are 1."""
    made = space(models=["a", "b", "c"])
    cubes = np.random.default_rng(0).random((2000, 2)).tolist()
    found = np.array([weights(made, "linear", cube) for cube in cubes])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 1 / 3, atol=0.02)
    # Each weight of a uniform distribution over this simplex is below one half three times in four.
    np.testing.assert_allclose((found < 0.5).mean(axis=0), 0.75, atol=0.03)


def test_free_weights_have_their_own_range() -> None:
    """Each weight runs from the lowest to the highest value, whatever the others are."""
    made = space(weights=[-0.5, 1.5])
    assert weights(made, "linear", [0.0, 1.0]) == [-0.5, 1.5]
    assert made.dimensions == 2


def test_a_gradient_has_a_weight_for_every_value() -> None:
    """Weights with two values are lists from the first layer to the last, which add up to 1."""
    made = space(gradient=2)
    assert weights(made, "linear", [0.2, 0.9]) == [(0.2, 0.9), (0.8, 0.1)]


def test_methods_get_only_their_own_parameters() -> None:
    """A range that one method has is no part of the merges of another, nor of their names."""
    made = space(methods=["linear", "ties"], parameters={"density": [0.2, 1.0], "lambda": 1.5})
    plain, ties = (made.candidate(made.point(m, [0.5, 0.25])) for m in ("linear", "ties"))
    assert plain is not None
    assert ties is not None
    assert plain.merge.parameters == {}
    assert ties.merge.parameters == {"lambda": 1.5}
    assert [own["density"] for own in ties.merge.models.values()] == [0.4, 0.4]
    again = made.candidate(made.point("linear", [0.5, 0.9]))
    assert again is not None
    assert again.key == plain.key
    assert len(plain.features) == len(ties.features)
    assert all(0 <= each <= 1 for each in (*plain.features, *ties.features))


def test_weights_that_add_up_to_zero_are_no_candidate() -> None:
    """What a method cannot divide by is left out, at either end of a gradient."""
    made = space(weights=[-1.0, 1.0])
    assert made.candidate(made.point("linear", [0.0, 1.0])) is None
    bent = space(weights=[-1.0, 1.0], gradient=2)
    assert bent.candidate(bent.point("linear", [1.0, 1.0, 0.0, 1.0])) is None
    assert bent.candidate(bent.point("linear", [1.0, 1.0, 0.5, 1.0])) is not None


def test_lines_change_one_number_and_pass_through_the_candidate() -> None:
    """On a simplex the other weights keep their proportions; parameters keep to their method."""
    made = space(
        models=["a", "b", "c"], methods=["linear", "ties"], parameters={"density": [0.2, 1]}
    )
    candidate = made.candidate(made.point("ties", [0.4, 0.5, 0.25]))
    assert candidate is not None
    lines = {line.parameter: line for line in made.lines(candidate, 11)}
    assert list(lines) == ["weight of a", "weight of b", "weight of c", "density"]
    for line in lines.values():
        assert {len(features) for features in line.features} == {len(candidate.features)}
    weights_of = np.array([features[:3] for features in lines["weight of b"].features])
    assert weights_of.sum(axis=1) == pytest.approx(1)
    assert weights_of[:, 1] == pytest.approx(np.linspace(0, 1, 11))
    ratio = candidate.features[0] / candidate.features[2]
    assert weights_of[:-1, 0] / weights_of[:-1, 2] == pytest.approx(ratio)
    assert lines["density"].values[0] == 0.2
    assert lines["density"].features[0][:3] == candidate.features[:3]
    linear = made.candidate(made.point("linear", [0.4, 0.5, 0.25]))
    assert linear is not None
    assert "density" not in {line.parameter for line in made.lines(linear, 3)}
    two = space(weights=[0, 2], gradient=2)
    free = two.candidate(two.point("linear", [0.5, 0.25, 0.5, 0.75]))
    assert free is not None
    line = next(two.lines(free, 3))
    assert list(line.values) == [0, 1, 2]
    # Both depths of `a` get the value, and those of `b` stay.
    assert [features[:4] for features in line.features] == [
        (x, x, *free.features[2:4]) for x in (0, 0.5, 1)
    ]


def test_candidates_are_distinct() -> None:
    """Points that round to one recipe are one candidate, and known ones do not come again."""
    made = space()
    points = [made.point("linear", [x]) for x in (0.1, 0.10004, 0.2)]
    found = list(made.distinct(points, frozenset()))
    assert len(found) == 2
    assert not list(made.distinct(points, frozenset(each.key for each in found)))


@pytest.mark.parametrize("method", ["slerp", "nuslerp", "karcher", "sce", "della"])
def test_other_methods_have_a_space(method: str) -> None:
    """Methods with two models, or without weights, have candidates, too."""
    made = space(methods=[method])
    assert made.candidate(made.point(method, [0.4])) is not None
