"""Which rows each optimizer step reads: fixed by the seed alone, whatever the devices."""

import numpy as np
import numpy.typing as npt


def row_order(rows: int, batch_size: int, steps: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw the rows of every step: one shuffled pass after another, cut into full batches.

    A pass that ends inside a batch is followed at once by the next, so every step has the same
    number of rows and no row is left out of a pass.

    Returns:
        Row numbers of shape ``(steps, batch_size)``, of ``rows`` rows, at least 1.
    """
    rng = np.random.default_rng(seed)
    total = steps * batch_size
    passes = [rng.permutation(rows) for _ in range(-(-total // rows))]
    return np.concatenate(passes)[:total].reshape(steps, batch_size)


def sorted_within_steps(
    order: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Put rows of like length side by side inside each step.

    The gradient of a step is a sum over its rows, so their order inside it is free; neighbours
    of like length waste less padding when the step is worked through in several passes. ``order``
    has shape ``(steps, batch_size)``, ``lengths`` (in tokens) ``(rows,)``; longest come first.
    """
    by_length = np.argsort(-lengths[order], axis=1, kind="stable")
    return np.take_along_axis(order, by_length, axis=1)
