"""Every method against its equations, written here in float64 and element by element."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.random_bits import random_bits
from mixmerge.merge.methods import METHODS
from mixmerge.merge.methods.method import Tensors

F64 = npt.NDArray[np.float64]
TENSOR = "w"


def run(name: str, models: Sequence[Array], base: Array | None = None, **arguments: Any) -> Array:
    """Merge with a method's defaults and the given arguments."""
    method = METHODS[name]
    values: dict[str, Any] = {}
    for parameter in method.parameters:
        default = parameter.default
        values[parameter.argument] = (default,) * len(models) if parameter.per_model else default
    bits = partial(_bits, models[0].size)
    with np.errstate(under="ignore"):
        return method.combine(Tensors(models, base, bits), **{**values, **arguments})


def _bits(count: int, position: int) -> npt.NDArray[np.uint32]:
    return random_bits(7, position, TENSOR, count)


# References, one element at a time.


def trimmed(delta: F64, density: float) -> F64:
    """Keep the largest magnitudes, earlier ones first in a tie."""
    order = sorted(range(delta.size), key=lambda index: -abs(delta[index]))
    kept = set(order[: max(1, int(density * delta.size))]) if density > 0 else set()
    return np.array([delta[index] if index in kept else 0.0 for index in range(delta.size)])


def dropped(delta: F64, density: float, position: int) -> F64:
    """Keep elements whose draw, as a number in [0, 1), lies below the density."""
    draws = random_bits(7, position, TENSOR, delta.size) / 2.0**32
    return np.where(draws < math.floor(density * 2**32) / 2**32, delta, 0.0)


def rescaled(before: F64, after: F64) -> F64:
    """Give back the L1 norm."""
    wanted, seen = np.abs(before).sum(), np.abs(after).sum()
    return after * (wanted / seen) if min(wanted, seen) >= 1e-7 else after


def elected(deltas: Sequence[F64], weights: Sequence[float], normalize: bool) -> F64:
    """Sign of the weighted sum, then the (mean of the) deltas that agree."""
    merged = []
    for column in zip(*deltas, strict=True):
        parts = [w * d for w, d in zip(weights, column, strict=True)]
        sign = 1.0 if sum(parts) >= 0 else -1.0
        agreeing = [index for index, part in enumerate(parts) if part * sign > 0]
        total = sum(parts[index] for index in agreeing)
        share = sum(weights[index] for index in agreeing)
        merged.append(total / (share or 1.0) if normalize else total)
    return np.array(merged)


def counted(deltas: Sequence[F64], weights: Sequence[float]) -> F64:
    """Equations 3 and 4 of arXiv:2410.10801 for equal weights: majority sign, divided by N."""
    merged = []
    for column in zip(*deltas, strict=True):
        sign = np.sign(sum(np.sign(d) for d in column))
        merged.append(sign * sum(abs(d) for d in column if np.sign(d) == sign) / len(weights))
    return np.array(merged)


def close(got: Array, expected: F64, models: Sequence[Array], base: Array | None = None) -> None:
    """Compare within float32 noise: a few units in the last place of the largest number met."""
    assert got.dtype == np.float32
    assert got.shape == models[0].shape
    inputs = [*models, *([] if base is None else [base])]
    scale = np.maximum.reduce([np.abs(x.astype(np.float64)) for x in inputs])
    noise = 1e-6 * np.maximum(scale, np.abs(expected.reshape(got.shape))) + 1e-44
    difference = np.abs(got.astype(np.float64) - expected.reshape(got.shape))
    assert (difference <= noise).all(), float((difference / noise).max())


def random_case(count: int = 3, shape: tuple[int, ...] = (7, 5)) -> tuple[list[Array], Array]:
    """Return models near a base."""
    rng = np.random.default_rng(3)
    base = rng.standard_normal(shape, dtype=np.float32)
    return [base + rng.standard_normal(shape, dtype=np.float32) for _ in range(count)], base


def _tied() -> tuple[list[Array], Array]:
    models = [np.array(row, np.float32) for row in ([1, -1, 1, -1], [1, 1, -1, -1], [0, 1, 1, 0])]
    return models, np.zeros(4, np.float32)


CASES: dict[str, Callable[[], tuple[list[Array], Array]]] = {
    "random": random_case,
    "one element": lambda: random_case(3, (1,)),
    "zeros": lambda: ([np.zeros(6, np.float32)] * 3, np.zeros(6, np.float32)),
    "equal to the base": lambda: ([np.ones(6, np.float32)] * 3, np.ones(6, np.float32)),
    "tied magnitudes": _tied,
    "denormal": lambda: (
        [np.array([1e-40, -3e-42, k * 1e-45], np.float32) for k in (1, 2, 3)],
        np.array([2e-40, 0, -1e-45], np.float32),
    ),
    "huge": lambda: (
        [np.array([1e37, -1e36, k * 1e35], np.float32) for k in (1, 2, 3)],
        np.array([5e36, 1e36, 0], np.float32),
    ),
}

WEIGHTS = (0.5, 0.3, 0.9)
DENSITY = (0.5, 0.8, 0.3)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[list[Array], Array]:
    """Return one of the adversarial groups of tensors."""
    return CASES[request.param]()


def as_deltas(models: Sequence[Array], base: Array) -> list[F64]:
    """Return flat differences, rounded once to float32 as the method sees them."""
    return [(model - base).astype(np.float64).reshape(-1) for model in models]


@pytest.mark.parametrize("normalize", [True, False])
def test_linear_is_the_weighted_mean(case: tuple[list[Array], Array], normalize: bool) -> None:
    """Linear is the weighted sum, divided by the sum of weights where normalised."""
    models, _ = case
    expected = sum(w * m.astype(np.float64) for w, m in zip(WEIGHTS, models, strict=True))
    expected = np.asarray(expected) / (sum(WEIGHTS) if normalize else 1.0)
    close(run("linear", models, weight=WEIGHTS, normalize=normalize), expected, models)


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0, 1.2])
def test_slerp_follows_the_circle(t: float) -> None:
    """SLERP is equation 2 of the paper, with the angle between the flattened tensors."""
    (a, b), _ = random_case(2)
    x, y = a.astype(np.float64), b.astype(np.float64)
    angle = math.acos(float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())))
    expected = (math.sin((1 - t) * angle) * x + math.sin(t * angle) * y) / math.sin(angle)
    close(run("slerp", [a, b], weight=(1 - t, t)), expected, [a, b])


def test_slerp_switches_to_the_straight_line_at_the_threshold() -> None:
    """Nearly parallel tensors are interpolated on the line, unless the threshold is 1."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(1000, dtype=np.float32)
    b = a + np.float32(0.02) * rng.standard_normal(1000, dtype=np.float32)
    line = a.astype(np.float64) / 2 + b.astype(np.float64) / 2
    close(run("slerp", [a, b], weight=(1, 1)), line, [a, b])
    x, y = a.astype(np.float64), b.astype(np.float64)
    cosine = float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum()))
    assert cosine > 0.9995
    circle = (x + y) / (2 * math.cos(math.acos(cosine) / 2))
    got = run("slerp", [a, b], weight=(1, 1), dot_threshold=1.0)
    close(got, circle, [a, b])
    assert np.abs(got - line).max() > 10 * np.abs(got - circle).max()


def test_slerp_with_a_zero_tensor_is_finite() -> None:
    """All zeros count as perpendicular: the other tensor is scaled by the sine of its share."""
    b = np.array([3.0, 4.0], np.float32)
    got = run("slerp", [np.zeros(2, np.float32), b], weight=(0.5, 0.5))
    assert got.tolist() == pytest.approx((math.sin(math.pi / 4) * b.astype(float)).tolist())


@pytest.mark.parametrize("normalize", [True, False])
def test_task_arithmetic_adds_weighted_deltas(
    case: tuple[list[Array], Array], normalize: bool
) -> None:
    """Task arithmetic is b + lambda sum w (x - b), divided by sum w where normalised."""
    models, base = case
    total = sum(w * d for w, d in zip(WEIGHTS, as_deltas(models, base), strict=True))
    scale = 0.7 / (sum(WEIGHTS) if normalize else 1.0)
    expected = base.astype(np.float64).reshape(-1) + scale * np.asarray(total)
    got = run("task_arithmetic", models, base, weight=WEIGHTS, normalize=normalize, lambda_=0.7)
    close(got, expected, models, base)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("rescale", [True, False])
def test_ties_trims_elects_and_merges(
    case: tuple[list[Array], Array], normalize: bool, rescale: bool
) -> None:
    """TIES agrees with its three steps written out for each element."""
    models, base = case
    deltas = []
    for delta, density in zip(as_deltas(models, base), DENSITY, strict=True):
        kept = trimmed(delta, density)
        deltas.append(rescaled(delta, kept) if rescale else kept)
    expected = base.reshape(-1) + 0.9 * elected(deltas, WEIGHTS, normalize)
    got = run(
        "ties",
        models,
        base,
        weight=WEIGHTS,
        density=DENSITY,
        normalize=normalize,
        rescale=rescale,
        lambda_=0.9,
    )
    close(got, expected, models, base)


def test_ties_of_the_paper_counts_signs_and_divides_by_all(
    case: tuple[list[Array], Array],
) -> None:
    """With equal weights of any size, ``variant: paper`` is equations 3 and 4 of the paper."""
    models, base = case
    deltas = [trimmed(d, p) for d, p in zip(as_deltas(models, base), DENSITY, strict=True)]
    expected = base.reshape(-1) + counted(deltas, WEIGHTS)
    for weight in (1.0, 0.25):
        got = run("ties", models, base, weight=(weight,) * 3, density=DENSITY, variant="paper")
        close(got, expected, models, base)


def test_the_two_variants_of_ties_differ_where_the_paper_says() -> None:
    """A large minority wins by mass and loses by count; a draw leaves the base."""
    base = np.zeros(2, np.float32)
    models = [np.array(row, np.float32) for row in ([-9, 5], [1, -5], [2, 0])]
    original = run("ties", models, base, weight=(1, 1, 1))
    paper = run("ties", models, base, weight=(1, 1, 1), variant="paper")
    assert original.tolist() == [-9, 5]
    assert paper.tolist() == [1, 0]


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_drops_rescales_and_merges(
    case: tuple[list[Array], Array], method: str, rescale: bool
) -> None:
    """DARE agrees with drop, rescale and merge written out for each element."""
    models, base = case
    deltas = []
    for position, delta in enumerate(as_deltas(models, base)):
        kept = dropped(delta, DENSITY[position], position)
        deltas.append(rescaled(delta, kept) if rescale else kept)
    if method == "dare_ties":
        merged = elected(deltas, WEIGHTS, normalize=False)
    else:
        merged = np.asarray(sum(w * d for w, d in zip(WEIGHTS, deltas, strict=True)))
    got = run(method, models, base, weight=WEIGHTS, density=DENSITY, rescale=rescale)
    close(got, base.reshape(-1) + merged, models, base)


@pytest.mark.parametrize("name", METHODS)
def test_merging_copies_of_one_model_returns_it(name: str) -> None:
    """Equal models with weights that sum to one give that model back, to the last digits."""
    (model, _), base = random_case(2)
    start = base if METHODS[name].needs_base else None
    got = run(name, [model, model], start, weight=(0.25, 0.75))
    close(got, model.astype(np.float64), [model], start)


@pytest.mark.parametrize("name", METHODS)
def test_inputs_are_left_as_they_were(name: str) -> None:
    """No method writes into its inputs: they may be shared between merges."""
    models, base = random_case(2)
    before = [array.copy() for array in (*models, base)]
    run(name, models, base, weight=(0.5, 0.5))
    assert all(np.array_equal(x, y) for x, y in zip((*models, base), before, strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_cites_its_paper(name: str) -> None:
    """The declaration names a publication that can be found."""
    assert any(mark in METHODS[name].paper for mark in ("arXiv:", "doi:"))
