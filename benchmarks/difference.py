"""How far two merged models are from each other, tensor by tensor and element by element."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, npt.NDArray[np.float32]]

FAR = 64.0
"""Units in the last place beyond which two elements took different decisions (a threshold, a
sign), not only different roundings."""


@dataclass(frozen=True)
class Difference:
    """The largest differences between a result and a reference."""

    missing: int
    """Tensors that only the reference has."""
    extra: int
    """Tensors that only the result has."""
    reshaped: int
    """Tensors of both that differ in shape; they are not compared further."""
    ulp: float
    """In float32 units in the last place of the largest operand: of result, reference, and inputs
    at that element. Where large numbers cancel, the rounding of these is what can be expected."""
    relative: float
    """Relative to the root mean square of what the merge changed in that tensor."""
    far: int
    """Elements that differ by more than `FAR` units."""
    elements: int
    """Elements that were compared."""

    @property
    def same_tensors(self) -> bool:
        """Whether both have the same tensors."""
        return not (self.missing or self.extra or self.reshaped)


def difference(reference: Tensors, result: Tensors, inputs: Iterable[Tensors]) -> Difference:
    """Compare a merged model with a reference.

    Args:
        reference: tensors by name.
        result: tensors by name.
        inputs: the models that were merged; changes are counted from the first.
    """
    known = list(inputs)
    both = [name for name in reference if name in result]
    same = [name for name in both if reference[name].shape == result[name].shape]
    ulp, relative, far = 0.0, 0.0, 0
    for name in same:
        operands = [t[name] for t in known if name in t and t[name].shape == result[name].shape]
        units = _ulp(reference[name], result[name], operands)
        ulp = max(ulp, float(units.max(initial=0.0)))
        far += int((units > FAR).sum())
        relative = max(relative, _relative(reference[name], result[name], operands))
    return Difference(
        missing=len(reference) - len(both),
        extra=len(result) - len(both),
        reshaped=len(both) - len(same),
        ulp=ulp,
        relative=relative,
        far=far,
        elements=sum(result[name].size for name in same),
    )


def _ulp(
    reference: npt.NDArray[np.float32],
    result: npt.NDArray[np.float32],
    operands: list[npt.NDArray[np.float32]],
) -> npt.NDArray[np.float64]:
    largest = np.maximum.reduce([np.abs(x) for x in (reference, result, *operands)])
    distance = np.abs(reference.astype(np.float64) - result.astype(np.float64))
    return np.asarray(distance / np.spacing(largest), np.float64)


def _relative(
    reference: npt.NDArray[np.float32],
    result: npt.NDArray[np.float32],
    operands: list[npt.NDArray[np.float32]],
) -> float:
    largest = float(np.abs(reference.astype(np.float64) - result).max(initial=0.0))
    if not largest:
        return 0.0
    start = operands[0] if operands else np.zeros_like(reference)
    change = float(np.sqrt(np.mean((reference.astype(np.float64) - start) ** 2)))
    return largest / change if change else float("inf")


@dataclass(frozen=True)
class Draws:
    """What a random merge did, to be compared with another that drew other numbers."""

    elements: int
    kept: int
    """Elements that differ from the base."""
    square: float
    """Mean square of the change over all elements."""


def draws(base: Tensors, result: Tensors) -> Draws:
    """Count what a random merge kept, over all tensors that both have."""
    both = [name for name in result if name in base]
    change = np.concatenate(
        [(result[name].astype(np.float64) - base[name]).ravel() for name in both]
    )
    return Draws(change.size, int(np.count_nonzero(change)), float(np.mean(change**2)))


def same_rate(one: Draws, other: Draws) -> float:
    """Return how many standard errors the kept fractions of two independent draws are apart."""
    rate = (one.kept + other.kept) / (one.elements + other.elements)
    variance = rate * (1 - rate) * (1 / one.elements + 1 / other.elements)
    gap = one.kept / one.elements - other.kept / other.elements
    return gap / variance**0.5 if variance else 0.0


def load(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read all weights of a model folder as float32, with the safetensors library."""
    from safetensors.torch import load_file

    return {
        name: tensor.float().numpy()
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }
