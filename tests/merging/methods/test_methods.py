"""Every method against a reference in float64, on ordinary and on adversarial tensors."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.merging.methods import references
from tests.merging.methods.arrays import TENSOR, backwards, merge_arrays
from tests.merging.methods.references import F64, Inputs, Reference

from mixmerge.errors import ModelError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.random_drop import random_bits, stream
from mixmerge.merging.kernels.rounding import narrow_into, widen_into
from mixmerge.merging.methods import METHODS
from mixmerge.merging.streaming.tensor import TILE

WEIGHT = (0.5, 0.25, 1.25)
"""Exact in float32, so that sums which cancel do so exactly."""
SPARSE: dict[str, Any] = {
    "weight": WEIGHT,
    "density": (0.5, 0.8, 0.3),
    "normalize": False,
    "rescale": True,
    "lambda_": 0.7,
}
NORMALIZED = {**SPARSE, "normalize": True, "rescale": False}

ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "linear": [{"weight": WEIGHT}, {"weight": WEIGHT, "normalize": False}],
    "slerp": [
        {"weight": (1.0, 0.0)},
        {"weight": (0.7, 0.3)},
        {"weight": (-0.2, 1.2), "dot_threshold": 1.0},
    ],
    "nuslerp": [
        {"weight": (0.5, 0.9)},
        {"weight": (0.5, 0.9), "nuslerp_flatten": False},
        {"weight": (0.5, 0.9), "nuslerp_flatten": False, "nuslerp_row_wise": True},
        {"weight": (1.0, -1.0)},
    ],
    "multislerp": [{"weight": WEIGHT}, {"weight": WEIGHT, "normalize_weights": False}],
    "karcher": [{}, {"max_iter": 1}, {"max_iter": 100, "tol": 1e-9}],
    "task_arithmetic": [
        {"weight": WEIGHT, "lambda_": 0.7},
        {"weight": WEIGHT, "normalize": True},
    ],
    "ties": [SPARSE, NORMALIZED, {**NORMALIZED, "variant": "paper"}],
    "dare_linear": [SPARSE, NORMALIZED],
    "dare_ties": [SPARSE, NORMALIZED],
    "della_linear": [
        {**SPARSE, "epsilon": (0.1, 0.15, 0.2)},
        {**NORMALIZED, "density": (0.5, 1.0, 0.0), "epsilon": (0.4, 0.15, 0.1)},
    ],
    "della": [{**SPARSE, "epsilon": (0.1, 0.15, 0.2)}, {**NORMALIZED, "epsilon": (0.1, 0.1, 0.1)}],
    "breadcrumbs": [
        {**SPARSE, "gamma": (0.1, 0.01, 0.4)},
        {**NORMALIZED, "gamma": (0.6, 0.3, 0.0), "density": (0.5, 1.0, 0.0)},
    ],
    "breadcrumbs_ties": [{**SPARSE, "gamma": (0.1, 0.01, 0.4)}],
    "model_stock": [{}, {"filter_wise": True}],
    "sce": [{}, {"select_topk": 0.4}, {"select_topk": 0.0}],
    "ram": [{"epsilon": 1e-5}, {"epsilon": 0.5}],
    "ramplus_tl": [{"epsilon": 0.5}, {"epsilon": 0.5, "r": 2.0, "alpha": 10.0}],
    "nearswap": [{"t": 0.0}, {"t": 0.3}, {"t": -1.0}],
    "arcee_fusion": [{}],
    "passthrough": [{"scale": (1.0,)}, {"scale": (-0.3,)}],
}
RUNS = [
    pytest.param(name, arguments, id=f"{name}-{number}")
    for name, settings in ARGUMENTS.items()
    for number, arguments in enumerate(settings)
]

Case = tuple[list[Array], Array]


def _random(*shape: int, scale: float = 1.0) -> Case:
    rng = np.random.default_rng(3)
    base, *models = scale * rng.standard_normal((4, *shape))
    return [(base + model).astype(np.float32) for model in models], base.astype(np.float32)


def _whole_numbers(*shape: int) -> Case:
    """Return tensors full of equal magnitudes."""
    rng = np.random.default_rng(5)
    base, *models = rng.integers(-3, 4, (4, *shape)).astype(np.float32)
    return [base + model for model in models], base


def _same(model: float, base: float) -> Case:
    return [np.full((3, 5), model, np.float32)] * 3, np.full((3, 5), base, np.float32)


def _one_is_the_base() -> Case:
    models, base = _random(6, 7)
    return [base, *models[1:]], base


SMALL: dict[str, Callable[[], Case]] = {
    "matrix": lambda: _random(7, 5),
    "no dimension": _random,
    "one element": lambda: _random(1),
    "vector": lambda: _random(31),
    "one column": lambda: _random(37, 1),
    "one row": lambda: _random(1, 37),
    "three dimensions": lambda: _random(3, 5, 7),
    "zeros": lambda: _same(0, 0),
    "equal to the base": lambda: _same(1, 1),
    "equal to each other": lambda: _same(1, 2),
    "one is the base": _one_is_the_base,
    "equal magnitudes": lambda: _whole_numbers(9, 11),
    "denormal": lambda: _random(4, 6, scale=1e-41),
    "tiny": lambda: _random(4, 6, scale=1e-20),
    "huge": lambda: _random(4, 6, scale=1e36),
}
LARGE: dict[str, Callable[[], Case]] = {
    "one less than a tile": lambda: _random(TILE - 1),
    "a tile": lambda: _random(TILE),
    "one more than a tile": lambda: _random(TILE + 1),
    "rows of odd length": lambda: _random(133, 501),
    "several chunks": lambda: _random(521, 1013),
    "several chunks of equal magnitudes": lambda: _whole_numbers(521, 1013),
}


def prepare(name: str, case: Case) -> Case:
    """Return as many models as the method takes."""
    models, base = case
    return models[: METHODS[name].models[1]], base


def expected(name: str, models: list[Array], base: Array | None, **arguments: Any) -> Reference:
    """Return the reference for what `merge_arrays` does."""
    draws = [
        random_bits(stream(0, position, TENSOR), 0, model.size) / 2.0**32
        for position, model in enumerate(models)
    ]
    reference: Reference = getattr(references, name)(
        Inputs(models, base, np.array(draws)), **arguments
    )
    return reference


def noise(reference: Reference) -> F64:
    """Return what float32 arithmetic may add.

    About ten operations per element, each wrong by at most 2^-24 of the terms it sees, and by one
    unit of the denormal numbers.
    """
    return 10 * 2.0**-24 * reference.reach + 10 * 2.0**-149


def assert_close(got: Array, reference: Reference) -> None:
    """Compare in float64 where rounding cannot decide."""
    difference = np.abs(got.reshape(-1).astype(np.float64) - reference.values)
    wrong = (difference > noise(reference)) & ~reference.undecided
    assert not wrong.any(), (np.flatnonzero(wrong)[:5], difference[wrong][:5])
    assert reference.undecided.sum() <= 1 + 1e-4 * got.size


@pytest.mark.parametrize(("name", "arguments"), RUNS)
@pytest.mark.parametrize("case", SMALL)
def test_every_method_is_its_definition(name: str, arguments: dict[str, Any], case: str) -> None:
    """Each element is that of the definition, up to the noise of float32."""
    models, base = prepare(name, SMALL[case]())
    starts: dict[str, list[Array | None]]
    starts = {"required": [base], "none": [None], "optional": [base, None]}
    for start in starts[METHODS[name].base]:
        got = merge_arrays(name, models, start, **arguments)
        assert got.shape == models[0].shape
        assert_close(got, expected(name, models, start, **arguments))


@pytest.mark.parametrize(("name", "arguments"), RUNS)
@pytest.mark.parametrize("case", LARGE)
def test_tiles_and_threads_change_nothing(name: str, arguments: dict[str, Any], case: str) -> None:
    """A tensor of many tiles is merged as its definition says, to the same bytes in any order."""
    models, base = prepare(name, LARGE[case]())
    start = None if METHODS[name].base == "none" else base
    got = merge_arrays(name, models, start, **arguments)
    assert_close(got, expected(name, models, start, **arguments))
    reversed_ = merge_arrays(name, models, start, parallel_map=backwards, **arguments)
    assert got.tobytes() == reversed_.tobytes()
    with ThreadPoolExecutor(2) as pool:
        threads = merge_arrays(name, models, start, parallel_map=pool.map, **arguments)
    assert got.tobytes() == threads.tobytes()


# Bits of the fraction, and exponent of the smallest number.
FORMATS = {"BF16": (7, -133), "F16": (10, -24), "F32": (23, -149)}


@pytest.mark.parametrize(("name", "arguments"), RUNS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_output_is_within_half_a_unit(name: str, arguments: dict[str, Any], dtype: str) -> None:
    """In each output type the error is half a unit in the last place, plus float32's noise."""
    models, base = prepare(name, _random(40, 50))
    start = None if METHODS[name].base == "none" else base
    reference = expected(name, models, start, **arguments)
    got = merge_arrays(name, models, start, **arguments).reshape(-1)
    raw = np.empty(got.size * (4 if dtype == "F32" else 2), np.uint8)
    assert narrow_into(got, dtype, raw)
    stored = np.empty_like(got)
    widen_into(raw if dtype != "F32" else raw.copy(), dtype, stored)
    if dtype == "F32":
        stored = raw.view(np.float32)
    fraction, smallest = FORMATS[dtype]
    exponents = np.frexp(reference.values)[1] - 1 - fraction
    unit = np.ldexp(1.0, np.maximum(exponents, smallest))
    error = np.abs(stored - reference.values)
    assert (error <= unit / 2 + noise(reference))[~reference.undecided].all()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_reference_and_runs(name: str) -> None:
    """No method goes without the tests of this file."""
    assert hasattr(references, name)
    assert ARGUMENTS[name]


NUMBERS = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32),
    st.floats(-4, 4, width=32),
    st.integers(-2, 2).map(float),
)
SHAPES = st.sampled_from([(), (1,), (7,), (3, 5), (6, 1), (2, 3, 3)])
ANY = sorted(
    set(METHODS) - {"slerp", "nuslerp", "multislerp", "karcher", "model_stock", "arcee_fusion"}
)
"""Where a result depends continuously on the inputs, or thresholds are compared exactly."""


def eighths_within(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw numbers between -2 and 2 that float32 holds and adds exactly."""
    eighths = range(math.ceil(8 * max(low, -2)), math.floor(8 * min(high, 2)) + 1)
    return st.sampled_from([number / 8 for number in eighths])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_tensors_and_values_are_merged_as_defined(data: st.DataObject) -> None:
    """Whatever the tensors, weights and densities, the result is that of the definition."""
    name = data.draw(st.sampled_from(ANY))
    method = METHODS[name]
    count = method.models[1] or data.draw(st.integers(1, 4))
    shape = data.draw(SHAPES)
    base, *models = (
        data.draw(arrays(np.float32, shape, elements=NUMBERS)) for _ in range(count + 1)
    )
    values: dict[str, Any] = {}
    for parameter in method.parameters:
        drawn: st.SearchStrategy[Any] = eighths_within(*parameter.bounds)
        if parameter.kind == "switch":
            drawn = st.booleans()
        elif parameter.kind == "choice":
            drawn = st.sampled_from(parameter.choices)
        size = count if parameter.per_model else None
        values[parameter.argument] = (
            data.draw(drawn) if size is None else tuple(data.draw(drawn) for _ in range(size))
        )
    assume(method.problem(values) is None)
    start = None if method.base == "none" else base
    reference = expected(name, models, start, **values)
    got = merge_arrays(name, models, start, **values).reshape(-1)
    fits = reference.reach < 1e38
    error = np.abs(got[fits] - reference.values[fits])
    assert ((error <= noise(reference)[fits]) | reference.undecided[fits]).all()


# What is particular to one method.


def test_slerp_switches_to_the_straight_line_at_the_threshold() -> None:
    """Nearly parallel tensors are interpolated on the line, unless the threshold is 1."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(1000, dtype=np.float32)
    b = a + np.float32(0.02) * rng.standard_normal(1000, dtype=np.float32)
    x, y = a.astype(np.float64), b.astype(np.float64)
    cosine = float((x @ y) / math.sqrt((x @ x) * (y @ y)))
    assert cosine > 0.9995
    line, circle = (x + y) / 2, (x + y) / (2 * math.cos(math.acos(cosine) / 2))
    default = merge_arrays("slerp", [a, b], weight=(1, 1))
    strict = merge_arrays("slerp", [a, b], weight=(1, 1), dot_threshold=1.0)
    assert np.abs(default - line).max() < 1e-6
    assert np.abs(strict - circle).max() < 1e-6
    assert np.abs(line - circle).max() > 1e-5


@pytest.mark.parametrize("name", ["slerp", "nuslerp"])
@pytest.mark.parametrize("other", [1.0, -1.0, 2.0], ids=["equal", "opposite", "parallel"])
def test_collinear_tensors_are_interpolated_linearly(name: str, other: float) -> None:
    """Where the angle has no direction, the result is finite and on the straight line."""
    a = np.array([1.0, 2.0, -0.3], np.float32)
    b = np.float32(other) * a
    got = merge_arrays(name, [a, b], weight=(0.75, 0.25))
    assert got == pytest.approx(0.75 * a + 0.25 * b, rel=1e-6)


def test_a_zero_tensor_is_perpendicular_to_all() -> None:
    """SLERP with zeros scales the other tensor by the sine of its share of a right angle."""
    b = np.array([3.0, 4.0], np.float32)
    got = merge_arrays("slerp", [np.zeros(2, np.float32), b], weight=(0.5, 0.5))
    assert got == pytest.approx(math.sqrt(0.5) * b, rel=1e-6)


def test_multislerp_refuses_directions_that_cancel_out() -> None:
    """Three vectors at 120 degrees have no mean direction; two opposite ones are averaged."""
    angles = [0.0, 2 * math.pi / 3, 4 * math.pi / 3]
    models = [np.array([math.cos(a), math.sin(a)], np.float32) for a in angles]
    with pytest.raises(ModelError, match=rf"tensor {TENSOR}: the models' directions cancel out"):
        merge_arrays("multislerp", models, weight=(1, 1, 1))
    a = np.array([1.0, 2.0], np.float32)
    opposite = merge_arrays("multislerp", [a, -3 * a], weight=(0.5, 0.5))
    assert opposite == pytest.approx(-a, rel=1e-6)


def test_multislerp_of_models_that_left_a_tensor_alone_is_the_base() -> None:
    """A tensor that no model changed comes out unchanged, however many models there are."""
    base = np.array([1.0, -2.0], np.float32)
    assert merge_arrays("multislerp", [base] * 3, base, weight=(1, 1, 1)).tolist() == [1, -2]


def test_karcher_of_opposite_tensors_is_finite() -> None:
    """With no mean direction the first model's is kept, at the mean norm."""
    a = np.array([3.0, 4.0], np.float32)
    got = merge_arrays("karcher", [a, -np.float32(3) * a])
    assert got == pytest.approx(2 * a, rel=1e-6)


def test_one_model_is_returned_as_it_is() -> None:
    """The spherical means of one model are that model, whatever its size."""
    tiny = np.array([1e-7, -1e-9], np.float32)
    assert merge_arrays("karcher", [tiny]).tolist() == tiny.tolist()
    got = merge_arrays("multislerp", [tiny], np.ones(2, np.float32), weight=(0.2,))
    assert got.tolist() == tiny.tolist()


def test_the_variants_of_ties_differ_where_the_paper_says() -> None:
    """A large minority wins by mass and loses by count; a draw leaves the base."""
    base = np.zeros(2, np.float32)
    models = [np.array(row, np.float32) for row in ([-9, 5], [1, -5], [2, 0])]
    original = merge_arrays("ties", models, base, weight=(1, 1, 1))
    paper = merge_arrays("ties", models, base, weight=(1, 1, 1), variant="paper")
    assert original.tolist() == [-9, 5]
    assert paper.tolist() == [1, 0]


def test_ram_boosts_what_only_one_model_changed() -> None:
    """RAM keeps a lone change and averages shared ones; RAM+ multiplies the lone one."""
    base = np.zeros(4, np.float32)
    models = [np.array(row, np.float32) for row in ([1, 2, 0, 0], [3, 0, 5, 0])]
    assert merge_arrays("ram", models, base).tolist() == [2, 2, 5, 0]
    plus = merge_arrays("ramplus_tl", models, base, r=0.5, alpha=1.0)
    assert plus.tolist() == [2, 3, 7.5, 0]


def test_nearswap_takes_over_what_is_closer_than_t() -> None:
    """Closer than t the model's element is taken exactly, farther away only a part of the way."""
    base, model = np.array([1.0, 1.0, 0.1], np.float32), np.array([1.25, 3.0, 0.1], np.float32)
    assert merge_arrays("nearswap", [model], base, t=0.5).tolist() == [
        1.25,
        1.5,
        np.float32(0.1),
    ]


def test_arcee_fusion_takes_over_only_what_stands_out() -> None:
    """One large change among many small ones is taken over, the small ones are not."""
    base = np.zeros((4, 25), np.float32)
    model = np.random.default_rng(0).uniform(-0.1, 0.1, (4, 25)).astype(np.float32)
    model[2, 7] = 1.0
    taken = merge_arrays("arcee_fusion", [model], base) != base
    assert taken[2, 7]
    assert 1 < np.count_nonzero(taken) < 25


DROPPING = ("arcee_fusion", "breadcrumbs", "breadcrumbs_ties")


@pytest.mark.parametrize("name", [name for name in METHODS if name not in DROPPING])
def test_merging_copies_of_one_model_returns_it(name: str) -> None:
    """Equal models with weights that sum to one give that model back, to the last digits."""
    (model, *_), base = _random(20, 30)
    method = METHODS[name]
    count = min(3, method.models[1] or 3)
    arguments: dict[str, Any] = {"t": 100.0} if name == "nearswap" else {}
    if method.parameter("weight"):
        arguments["weight"] = (1 / count,) * count
    got = merge_arrays(name, [model] * count, None if method.base == "none" else base, **arguments)
    assert np.abs(got - model).max() < 3e-6
