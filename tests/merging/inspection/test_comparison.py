"""Sizes, cosines and conflicts of changes, against float64 references from their definitions."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.inspection import measurements
from mixmerge.merging.inspection.inspect import inspect
from mixmerge.merging.inspection.measurements import DOT_THRESHOLD
from mixmerge.merging.inspection.result import Comparison, Difference, Interference
from mixmerge.merging.methods import METHODS

Flat = npt.NDArray[np.float64]
Model = dict[str, npt.NDArray[np.float32]]


def expected_difference(a: Flat, b: Flat) -> dict[str, float]:
    """Compute what a `Difference` says, from its definition."""
    return {
        "relative_size": float(np.linalg.norm(b - a) / np.linalg.norm(a)),
        "cosine": float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))),
        "changed": float(np.mean(a != b)),
    }


def expected_interference(d: Flat, e: Flat) -> dict[str, float]:
    """Compute what an `Interference` says, from its definition."""
    both = (d != 0) & (e != 0)
    return {
        "cosine": float(d @ e / (np.linalg.norm(d) * np.linalg.norm(e))),
        "opposed": float(np.mean(np.sign(d[both]) != np.sign(e[both]))),
        "cancelled": float(1 - np.abs(d + e).sum() / (np.abs(d) + np.abs(e)).sum()),
    }


def check(
    found: Difference | Interference, expected: dict[str, float], tolerance: float = 1e-6
) -> None:
    """Compare every number that is expected."""
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=tolerance, abs=1e-7), name


def flat(model: Model, names: list[str]) -> Flat:
    """Return tensors as one vector."""
    return np.concatenate([model[name].reshape(-1).astype(np.float64) for name in names])


def fine_tuned(base: Model, seed: int, size: float, moved: float = 0.7) -> Model:
    """Return a model of which a random part differs from the base."""
    rng = np.random.default_rng(seed)
    return {
        name: np.where(
            rng.random(values.shape) < moved,
            values + size * rng.standard_normal(values.shape, dtype=np.float32),
            values,
        ).astype(np.float32)
        for name, values in base.items()
    }


@pytest.fixture
def family(weights: Callable[..., Model]) -> dict[str, Model]:
    """Return a base and three fine-tunes, larger than a tile."""
    base = weights(0, layers=2, width=96)
    base["model.embed_tokens.weight"] = (
        np.random.default_rng(9).standard_normal((1201, 96)).astype(np.float32)
    )
    return {
        "base": base,
        **{name: fine_tuned(base, i, 0.05 * i) for i, name in enumerate("abc", 1)},
    }


def compared(family: dict[str, Model], model: Any, *, base: bool = True, **more: Any) -> Comparison:
    """Inspect a family from its files."""
    folders = {name: model(name, tensors) for name, tensors in family.items()}
    first = folders.pop("base") if base else None
    found = inspect(list(folders.values()), base=first, **more).comparison
    assert found is not None
    return found


def test_every_part_is_measured_as_one_vector(family: dict[str, Model], model: Any) -> None:
    """Tensors, layers, kinds and the whole agree with float64 computations on joined tensors."""
    found = compared(family, model)
    names = list(family["base"])
    attention = [name for name in names if "attn" in name]
    members = {
        "whole": names,
        "attention": attention,
        "norm": [name for name in names if "norm" in name],
        "embedding": ["model.embed_tokens.weight"],
        "model.layers.0": [name for name in names if ".0." in name],
        "model.layers.1": [name for name in names if ".1." in name],
        **{name: [name] for name in names},
    }
    parts = {part.name: part for part in (found.whole, *found.kinds, *found.layers, *found.tensors)}
    assert set(parts) == {*members, "mlp", "head"}
    for part_name, tensors in members.items():
        part = parts[part_name]
        vectors = {name: flat(tensors_of, tensors) for name, tensors_of in family.items()}
        assert part.tensors == len(tensors)
        assert part.parameters == vectors["base"].size
        for difference in part.differences:
            pair = vectors[difference.first], vectors[difference.second]
            check(difference, expected_difference(*pair))
        for between in part.interferences:
            changes = [vectors[name] - vectors["base"] for name in (between.first, between.second)]
            check(between, expected_interference(changes[0], changes[1]), 1e-5)


def test_the_result_does_not_depend_on_threads(
    family: dict[str, Model], model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread and several give the same numbers to the last bit, also for shared tensors."""
    expected = compared(family, model).whole
    monkeypatch.setattr(measurements, "_TILES_PER_JOB", 1)
    found = compared(family, model, threads=1)
    assert found == compared(family, model, threads=5)
    for mine, theirs in zip(found.whole.interferences, expected.interferences, strict=True):
        check(mine, theirs.model_dump(include={"cosine", "opposed", "cancelled"}), 1e-12)


def test_without_a_base_there_are_no_changes(family: dict[str, Model], model: Any) -> None:
    """Without a base weights are compared with each other, and nothing is said of conflicts."""
    del family["base"]
    found = compared(family, model, base=False)
    pairs = [(each.first, each.second) for each in found.whole.differences]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    for each in found.whole.differences:
        vectors = [flat(family[name], list(family["a"])) for name in (each.first, each.second)]
        check(each, expected_difference(vectors[0], vectors[1]))
    assert not found.whole.interferences


def test_slerp_is_linear_where_its_kernel_says_so(model: Any, weights: Any) -> None:
    """The count of nearly parallel tensors is by angle, on both sides of SLERP's default."""
    base = weights(0)
    turned = dict(base)
    for number, name in enumerate(base):
        vector = base[name].reshape(-1).astype(np.float64)
        other = np.random.default_rng(number).standard_normal(vector.size)
        other -= vector * (other @ vector) / (vector @ vector)
        other *= np.linalg.norm(vector) / np.linalg.norm(other)
        angle = math.acos(DOT_THRESHOLD + (1e-5 if number % 3 else -1e-5))
        rotated = math.cos(angle) * vector + math.sin(angle) * other
        turned[name] = rotated.reshape(base[name].shape).astype(np.float32)
    found = compared({"a": base, "b": turned}, model, base=False)
    assert found.whole.differences[0].straight == sum(number % 3 > 0 for number in range(len(base)))
    assert [each.differences[0].straight for each in found.tensors].count(0) == 4


def test_the_threshold_is_the_default_of_slerp() -> None:
    """What an inspection calls linear is what a merge would do by default."""
    parameter = METHODS["slerp"].parameter("dot_threshold")
    assert parameter is not None
    assert parameter.default == DOT_THRESHOLD


def test_small_changes_of_bfloat16_are_counted_exactly(model: Any) -> None:
    """Two opposite steps of one bfloat16 unit among equal elements are one conflict of one."""
    base = np.ones((1, 40), np.float32)
    up, down = base.copy(), base.copy()
    up[0, 7], down[0, 7] = 1 + 2**-7, 1 - 2**-8
    up[0, 9] = 1 + 2**-7
    folders = [
        model(name, {"w": values}, dtype="BF16")
        for name, values in (("base", base), ("a", up), ("b", down))
    ]
    found = inspect(folders[1:], base=folders[0]).comparison
    assert found is not None
    (between,) = found.whole.interferences
    assert between.opposed == 1.0
    assert between.cancelled == pytest.approx(2 * 2**-8 / (2 * 2**-7 + 2**-8))
    assert [each.changed for each in found.whole.differences] == [2 / 40, 1 / 40, 2 / 40]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_weights_neither_overflow_nor_vanish(
    scale: float, family: dict[str, Model], model: Any
) -> None:
    """Squares that float32 cannot hold are no problem: cosines do not depend on the scale."""
    plain = compared(family, model).whole
    factor = np.float32(2.0 ** round(math.log2(scale)))
    scaled = {
        name: {key: values * factor for key, values in tensors.items()}
        for name, tensors in family.items()
    }
    found = compared(scaled, model).whole
    for mine, theirs in zip(found.differences, plain.differences, strict=True):
        assert mine.cosine == pytest.approx(theirs.cosine, rel=1e-12)
        assert mine.relative_size == pytest.approx(theirs.relative_size, rel=1e-12)


def test_zeros_and_empty_tensors_have_no_ratio(model: Any) -> None:
    """What would be divided by zero is None, and nothing is divided by it."""
    tensors = {"zero": np.zeros((3, 2)), "none": np.zeros((0, 4)), "scalar": np.array(2.0)}
    other = {**tensors, "zero": np.ones((3, 2))}
    folders = [model("a", tensors), model("b", other)]
    found = inspect(folders).comparison
    assert found is not None
    measured = {each.name: each.differences[0] for each in found.tensors}
    assert (measured["zero"].relative_size, measured["zero"].cosine) == (None, None)
    assert measured["zero"].changed == 1.0
    assert (measured["none"].relative_size, measured["none"].changed) == (None, None)
    assert (measured["scalar"].relative_size, measured["scalar"].cosine) == (0.0, 1.0)


def test_names_are_those_of_a_merge(model: Any, weights: Any) -> None:
    """A model saved without its first word is the other's sibling, and old buffers do not count."""
    tensors = weights(1)
    short = {name.removeprefix("model."): values for name, values in tensors.items()}
    mask = np.ones((1, 1, 4, 4))
    del short["lm_head.weight"], tensors["lm_head.weight"]
    found = inspect([model("a", {**tensors, "model.layers.0.attn.bias": mask}), model("b", short)])
    assert found.compatible
    assert found.comparison is not None
    assert found.comparison.whole.tensors == 11
    assert found.comparison.whole.differences[0].changed == 0
    assert found.comparison.left_out == ("model.layers.0.attn.bias",)
    assert found.comparison.relatedness[0].relation == "sibling"


def test_a_tied_head_is_compared_as_the_embedding_it_is(model: Any, weights: Any) -> None:
    """A head that one model stores and another ties to its embedding has a difference of zero."""
    tensors = weights(1)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    tied = {name: values for name, values in tensors.items() if name != "lm_head.weight"}
    found = inspect([model("a", tied), model("b", tensors)])
    assert found.comparison is not None
    head = next(part for part in found.comparison.kinds if part.name == "head")
    assert head.differences[0].changed == 0
    assert found.comparison.whole.tensors == 12
    assert found.comparison.relatedness[0].relation == "sibling"
    assert [(each.tied, each.stores_head) for each in found.models] == [
        (True, False),
        (False, True),
    ]


def test_whole_numbers_are_left_out(model: Any, weights: Any) -> None:
    """Buffers are not weights: they have no part in a cosine."""
    tensors = {**weights(1), "model.steps": np.array([3, 4])}
    folders = [model(name, tensors, dtypes={"model.steps": "I64"}) for name in "ab"]
    found = inspect(folders).comparison
    assert found is not None
    assert found.left_out == ("model.steps",)


def test_a_file_that_changes_is_refused(model: Any, weights: Any) -> None:
    """A model that is written to while it is read gives no result."""
    folders: list[Path] = [model("a", weights(1)), model("b", weights(2))]

    def meddle(*_: object, **__: object) -> None:
        file = folders[1] / "model.safetensors"
        file.write_bytes(file.read_bytes())

    with pytest.raises(ModelError, match="changed while"):
        inspect(folders, progress=meddle)
