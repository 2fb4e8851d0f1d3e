"""Every method as its paper and mergekit's conventions have it: whole arrays, float64, no tricks.

A task vector is rounded to float32 once, as the engine does; everything after is float64. Each
function returns a `Reference`, which also says where float32 may rightly decide otherwise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass
class Reference:
    """What a merge should give."""

    values: F64
    """Flat."""
    reach: F64
    """The sum of the magnitudes of all terms of each element: what rounding errors scale with."""
    undecided: npt.NDArray[np.bool_]
    """Elements so close to a threshold that rounding may put them on either side."""


@dataclass
class Inputs:
    """What is merged."""

    models: Sequence[F32]
    base: F32 | None
    draws: F64
    """One number in [0, 1) for each model and element."""

    @property
    def xs(self) -> F64:
        """The models, flat, shape (models, size)."""
        return np.array([model.reshape(-1) for model in self.models], np.float64)

    @property
    def b(self) -> F64:
        """The base, flat; zeros without one."""
        size = self.models[0].size
        return np.zeros(size) if self.base is None else self.base.reshape(-1).astype(np.float64)

    @property
    def ds(self) -> F64:
        """Task vectors, rounded to float32, shape (models, size)."""
        return (self.xs - self.b).astype(np.float32).astype(np.float64)

    @property
    def columns(self) -> int:
        """Length of a row."""
        shape = self.models[0].shape
        return shape[-1] if shape else 1


def certain(values: F64, terms: F64) -> Reference:
    """Return a reference without thresholds; ``terms`` has shape (terms, size)."""
    return Reference(values, np.abs(terms).sum(0), np.zeros(values.shape, np.bool_))


def linear(given: Inputs, weight: Sequence[float], normalize: bool = True) -> Reference:
    """Sum w x, over sum w."""
    terms = given.xs * column(weight) / (sum(weight) if normalize else 1.0)
    return certain(terms.sum(0), terms)


def column(weight: Sequence[float]) -> F64:
    """Return weights to multiply rows by."""
    return np.asarray(weight, np.float64)[:, None]


# Along great circles.


def on_circle(v: F64, w: F64, t: float, straight: Callable[[float], bool]) -> F64:
    """Interpolate two vectors spherically."""
    norm = math.sqrt(v @ v), math.sqrt(w @ w)
    dot = (v / (norm[0] if norm[0] > 1e-8 else 1)) @ (w / (norm[1] if norm[1] > 1e-8 else 1))
    cosine = float(np.clip(dot, -1, 1))
    if straight(cosine):
        return (1 - t) * v + t * w
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * v + math.sin(t * angle) * w) / math.sin(angle)


def slerp(given: Inputs, weight: Sequence[float], dot_threshold: float = 0.9995) -> Reference:
    """mergekit's: flat vectors, a switch to the straight line."""
    v, w = given.xs
    t = weight[1] / sum(weight)
    straight = lambda cosine: abs(cosine) > dot_threshold or 1 - cosine**2 < 1e-12  # noqa: E731
    merged = on_circle(v, w, t, straight)
    return certain(merged, np.array([v, w, merged]))


def nuslerp(
    given: Inputs,
    weight: Sequence[float],
    nuslerp_row_wise: bool = False,
    nuslerp_flatten: bool = True,
) -> Reference:
    """One circle for all elements, or one for each row or column."""
    t = 0.5 if abs(sum(weight)) < 1e-6 else weight[1] / sum(weight)
    v, w = given.xs if given.base is None else given.ds
    shape = (1, -1) if nuslerp_flatten else (-1, given.columns)
    v, w = v.reshape(shape), w.reshape(shape)
    by_column = nuslerp_row_wise and not nuslerp_flatten and len(given.models[0].shape) > 1
    if by_column:
        v, w = v.T, w.T
    straight = lambda cosine: 1 - cosine**2 < 1e-12  # noqa: E731
    merged = np.array([on_circle(p, q, t, straight) for p, q in zip(v, w, strict=True)])
    if by_column:
        v, w, merged = v.T, w.T, merged.T
    parts = np.array([v.reshape(-1), w.reshape(-1), merged.reshape(-1), given.b])
    return certain(parts[2] + given.b, parts)


def multislerp(
    given: Inputs, weight: Sequence[float], normalize_weights: bool = True, eps: float = 1e-8
) -> Reference:
    """Tangents at the mean direction, averaged, and the exponential map back."""
    v = given.xs if given.base is None else given.ds
    if len(v) == 1:
        return certain(given.xs[0], given.xs)
    w = column(weight) / (sum(weight) if normalize_weights else 1.0)
    norms = np.sqrt((v * v).sum(1, keepdims=True))
    units = v / (norms + eps)
    if (np.abs(w) * np.sqrt((units * units).sum(1, keepdims=True))).sum() <= eps:
        return certain((w * v).sum(0) + given.b, np.array([*(w * v), given.b]))
    mean = (w * units).sum(0)
    mean /= math.sqrt(mean @ mean)
    tangents = units - (units @ mean)[:, None] * mean
    step = (w * tangents).sum(0)
    angle = math.sqrt(step @ step) + 1e-300
    merged = (mean * math.cos(angle) + step * math.sin(angle) / angle) * float((w * norms).sum())
    return certain(merged + given.b, np.array([*v, merged, given.b]))


def karcher(given: Inputs, max_iter: int = 10, tol: float = 1e-5) -> Reference:
    """Walk along the mean tangent until it vanishes."""
    xs = given.xs
    norms = [math.sqrt(x @ x) for x in xs]
    units = [x / norm for x, norm in zip(xs, norms, strict=True) if norm > tol]
    if len(xs) == 1:
        return certain(xs[0], xs)
    if not units:
        return certain(0 * xs[0], xs)
    mean = sum(units) / len(units)
    length = math.sqrt(mean @ mean)
    mean = units[0] if length <= tol else mean / length
    for _ in range(max_iter):
        step = np.zeros_like(mean)
        for unit in units:
            cosine = float(np.clip(unit @ mean, -1, 1))
            angle = math.acos(cosine)
            if math.sin(angle) > tol:
                step += angle / math.sin(angle) * (unit - cosine * mean) / len(units)
        length = math.sqrt(step @ step)
        if length <= tol:
            break
        mean = math.cos(length) * mean + math.sin(length) * step / length
        mean /= math.sqrt(mean @ mean)
    merged = mean * sum(norms) / len(norms)
    return certain(merged, np.array([*xs, merged]))


def model_stock(given: Inputs, filter_wise: bool = False) -> Reference:
    """T mean(x) + (1 - t) b, t from the mean cosine."""
    count = len(given.models)
    shape = (count, -1, given.columns) if filter_wise else (count, 1, -1)
    ds = given.ds.reshape(shape)
    norms = np.sqrt((ds * ds).sum(-1))
    pairs = [
        np.clip((p * q).sum(-1) / np.maximum(m * n, 1e-6), -1, 1)
        for (p, m), (q, n) in combinations(zip(ds, norms, strict=True), 2)
    ]
    cosine = np.mean(pairs, axis=0)
    below = 1 + (count - 1) * cosine
    t = np.array(
        [0.0 if abs(q) < 1e-6 else count * p / q for p, q in zip(cosine, below, strict=True)]
    )
    step = (t[:, None] * ds.mean(0)).reshape(-1)
    terms = np.abs(t[:, None] * np.abs(ds).mean(0)).reshape(-1)
    return certain(given.b + step, np.array([terms, given.b]))


# Task vectors of which a part is kept.


def descending(keys: F64) -> npt.NDArray[np.intp]:
    """Return positions by falling key; of equal ones the earlier first."""
    return np.argsort(-keys, kind="stable")


def trimmed(delta: F64, density: float) -> F64:
    """Keep the largest int(density n), at least one."""
    kept = np.zeros_like(delta)
    if density > 0:
        count = delta.size if density >= 1 else max(1, int(density * delta.size))
        first = descending(np.abs(delta))[:count]
        kept[first] = delta[first]
    return kept


def middle(delta: F64, density: float, gamma: float) -> F64:
    """Of the ascending order, keep int(density n) above the smallest and below the outliers."""
    if density >= 1:
        return delta
    count, outliers = int(density * delta.size), int(gamma * delta.size)
    bottom = max(0, delta.size - count - outliers)
    chosen = descending(np.abs(delta))[::-1][bottom : bottom + count]
    kept = np.zeros_like(delta)
    kept[chosen] = delta[chosen]
    return kept


def dropped(delta: F64, draws: F64, density: float) -> F64:
    """Keep what draws a number below the density."""
    return np.where(draws < density, delta, 0.0)


def dropped_by_rank(delta: F64, draws: F64, density: float, epsilon: float, columns: int) -> F64:
    """Keep with a probability that falls with the rank in the row."""
    if density <= 0 or density >= 1:
        return delta * (density > 0)
    kept = []
    for row, numbers in zip(delta.reshape(-1, columns), draws.reshape(-1, columns), strict=True):
        rank = np.empty(columns)
        rank[descending(np.abs(row))] = np.arange(columns)[::-1]
        share = rank / (columns - 1) if columns > 1 else np.full(1, 0.5)
        kept.append(np.where(numbers < density - epsilon + 2 * epsilon * share, row, 0.0))
    return np.concatenate(kept)


def rescaled(before: F64, after: F64) -> F64:
    """Give back the L1 norm."""
    wanted, seen = np.abs(before).sum(), np.abs(after).sum()
    return after * (wanted / seen) if min(wanted, seen) >= 1e-7 else after


def generalized(
    given: Inputs,
    kept: Sequence[F64] | F64,
    *,
    weight: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
    elect: bool,
) -> Reference:
    """Mergekit's task arithmetic: rescale, weigh, elect, add, normalise."""
    pairs = zip(given.ds, kept, strict=True)
    parts = np.array([rescaled(*pair) if rescale else pair[1] for pair in pairs]) * column(weight)
    undecided = np.zeros(parts.shape[1], np.bool_)
    share = np.full(parts.shape[1], sum(weight))
    if elect:
        sums = parts.sum(0)
        undecided = (sums != 0) & (np.abs(sums) < 1e-6 * np.abs(parts).sum(0))
        agrees = parts * np.where(sums >= 0, 1, -1) > 0
        parts = parts * agrees
        share = (column(weight) * agrees).sum(0)
        share[share == 0] = 1.0
    parts = lambda_ * (parts / share if normalize else parts)
    return Reference(given.b + parts.sum(0), np.abs([*parts, given.b]).sum(0), undecided)


def task_arithmetic(
    given: Inputs, weight: Sequence[float], normalize: bool = False, lambda_: float = 1.0
) -> Reference:
    """Keep everything, elect nothing."""
    settings: dict[str, Any] = {"weight": weight, "normalize": normalize, "lambda_": lambda_}
    return generalized(given, given.ds, rescale=False, elect=False, **settings)


def ties(
    given: Inputs,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool = True,
    rescale: bool = False,
    lambda_: float = 1.0,
    variant: str = "original",
) -> Reference:
    """Trim, elect, merge; or equations 3 and 4 of arXiv:2410.10801."""
    kept = [trimmed(d, share) for d, share in zip(given.ds, density, strict=True)]
    settings: dict[str, Any] = {"weight": weight, "normalize": normalize, "lambda_": lambda_}
    if variant == "original":
        return generalized(given, kept, rescale=rescale, elect=True, **settings)
    pairs = zip(given.ds, kept, strict=True)
    parts = np.array([rescaled(*pair) if rescale else pair[1] for pair in pairs]) * column(weight)
    sign = np.sign(np.sign(parts).sum(0))
    parts = np.where(np.sign(parts) == sign, parts, 0.0) * lambda_
    parts = parts / sum(weight) if normalize else parts
    return certain(given.b + parts.sum(0), np.array([*parts, given.b]))


def _thinned(given: Inputs, density: Sequence[float]) -> list[F64]:
    return [dropped(*row) for row in zip(given.ds, given.draws, density, strict=True)]


def dare_linear(given: Inputs, density: Sequence[float], **settings: Any) -> Reference:
    """Drop at random; add."""
    return generalized(given, _thinned(given, density), elect=False, **settings)


def dare_ties(given: Inputs, density: Sequence[float], **settings: Any) -> Reference:
    """Drop at random; elect."""
    return generalized(given, _thinned(given, density), elect=True, **settings)


def _thinned_by_rank(
    given: Inputs, density: Sequence[float], epsilon: Sequence[float]
) -> list[F64]:
    rows = zip(given.ds, given.draws, density, epsilon, strict=True)
    return [dropped_by_rank(*row, given.columns) for row in rows]


def della_linear(
    given: Inputs, density: Sequence[float], epsilon: Sequence[float], **settings: Any
) -> Reference:
    """Drop at random by rank; add."""
    return generalized(given, _thinned_by_rank(given, density, epsilon), elect=False, **settings)


def della(
    given: Inputs, density: Sequence[float], epsilon: Sequence[float], **settings: Any
) -> Reference:
    """Drop at random by rank; elect."""
    return generalized(given, _thinned_by_rank(given, density, epsilon), elect=True, **settings)


def _middles(given: Inputs, density: Sequence[float], gamma: Sequence[float]) -> list[F64]:
    return [middle(*row) for row in zip(given.ds, density, gamma, strict=True)]


def breadcrumbs(
    given: Inputs, density: Sequence[float], gamma: Sequence[float], **settings: Any
) -> Reference:
    """Trim both ends; add."""
    return generalized(given, _middles(given, density, gamma), elect=False, **settings)


def breadcrumbs_ties(
    given: Inputs, density: Sequence[float], gamma: Sequence[float], **settings: Any
) -> Reference:
    """Trim both ends; elect."""
    return generalized(given, _middles(given, density, gamma), elect=True, **settings)


# The others.


def sce(given: Inputs, select_topk: float = 1.0) -> Reference:
    """Select by variance, calculate weights from squares, erase minority signs."""
    ds = given.ds
    if select_topk < 1:
        spread = np.std(ds, axis=0).astype(np.float32)
        count = int(np.count_nonzero(spread) * select_topk)
        mask = np.zeros(spread.shape)
        mask[descending(spread.astype(np.float64))[:count]] = 1
        ds = ds * mask
    squares = (ds * ds).mean(1)
    small = squares.sum() < 1e-6
    weights = np.full(len(ds), 1 / len(ds)) if small else squares / squares.sum()
    sums = ds.sum(0)
    undecided = (sums != 0) & (np.abs(sums) < 1e-6 * np.abs(ds).sum(0))
    agrees = np.sign(ds) == np.where(sums >= 0, 1, -1)
    share = np.maximum((weights[:, None] * agrees).sum(0), 1e-6)
    parts = ds * weights[:, None] * agrees / share
    return Reference(given.b + parts.sum(0), np.abs([*parts, given.b]).sum(0), undecided)


def ram(given: Inputs, epsilon: float = 1e-5) -> Reference:
    """Keep what one model changed, average what several did."""
    return _reinforced(given, epsilon, [1.0] * len(given.models))


def ramplus_tl(
    given: Inputs, r: float = 0.1, alpha: float = 0.2, epsilon: float = 1e-5
) -> Reference:
    """The same, with what one model changed multiplied by 1 + r clip(rho, 0, alpha)."""
    changed = np.abs(given.ds) > np.float32(epsilon)
    several = changed.sum(0) > 1
    boosts = []
    for row in changed:
        shared, unique = int((row & several).sum()), int((row & ~several).sum())
        boosts.append(1 + r * min(max(shared / max(unique, epsilon, 1e-300), 0), alpha))
    return _reinforced(given, epsilon, boosts)


def _reinforced(given: Inputs, epsilon: float, boosts: Sequence[float]) -> Reference:
    changed = np.abs(given.ds) > np.float32(epsilon)
    count = changed.sum(0)
    parts = given.ds * changed * np.where(count > 1, 1 / np.maximum(count, 1), column(boosts))
    return certain(given.b + parts.sum(0), np.array([*parts, given.b]))


def nearswap(given: Inputs, t: float) -> Reference:
    """Weigh by closeness."""
    (d,) = given.ds
    weight = np.clip(t / np.maximum(np.abs(d), 1e-6), 0, 1)
    terms = np.array([weight * given.xs[0], (1 - weight) * given.b])
    # The rounding of the weight acts on both.
    return certain(terms.sum(0), np.array([*given.xs, given.b]))


def arcee_fusion(given: Inputs) -> Reference:
    """Take what is important."""
    rows = [x.reshape(-1, given.columns) for x in (given.xs[0], given.b)]
    p, q = (np.exp(x - x.max(1, keepdims=True)) for x in rows)
    p, q = p / p.sum(1, keepdims=True) + 1e-8, q / q.sum(1, keepdims=True) + 1e-8
    kl = np.maximum((p * np.log(p / q)).sum(1, keepdims=True), 0)
    importance = (np.abs(given.ds[0]).reshape(rows[0].shape) * kl).reshape(-1)
    ordered = np.sort(importance)
    low, median, high = (ordered[int(q * (ordered.size - 1))] for q in (0.25, 0.5, 0.75))
    threshold = median + 1.5 * (high - low)
    undecided = np.abs(importance - threshold) < 1e-5 * threshold + 1e-30
    values = np.where(importance >= threshold, given.xs[0], given.b)
    return Reference(values, np.abs(values), undecided & (given.ds[0] != 0) & (threshold > 0))


def passthrough(given: Inputs, scale: Sequence[float]) -> Reference:
    """Scale."""
    return certain(given.xs[0] * scale[0], given.xs * scale[0])
