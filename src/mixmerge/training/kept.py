"""Weights kept at chosen steps of a training, each a model folder like the trained one.

out/kept/STEP/
  model/       the model after that step
  report.json  a `TrainReport` of the steps up to there
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

KEPT = "kept"


def kept_at(out: Path, step: int) -> Path:
    """Return the folder of the weights after a step of the training in ``out``."""
    return out / KEPT / str(step)


def rising(steps: Sequence[int]) -> tuple[int, ...]:
    """Return steps if each is above the one before, from 1.

    Raises:
        ValueError: they are not.
    """
    for before, step in zip((0, *steps), steps, strict=False):
        if step <= before:
            zero = ", and step 0 is the model that the training starts from" * (step == 0)
            after = f"after {before}" if before else "first"
            raise ValueError(f"steps rise from 1, each given once (seen: {step} {after}){zero}")
    return tuple(steps)


def too_late(steps: Sequence[int], last: int) -> str:
    """Return what is wrong with steps to keep if one is not before the last step, else ""."""
    late = [step for step in steps if step >= last]
    said = "keep earlier ones. The weights after the last step are the trained model's"
    if not late:
        return ""
    return f"`keep_steps` has {late[0]}, and the training ends at step {last}: {said}"


def all_kept(out: Path, steps: Sequence[int]) -> bool:
    """Return whether the weights of every step, and their reports, are there."""
    return all((kept_at(out, step) / "report.json").is_file() for step in steps)


@contextmanager
def untouched_randomness() -> Iterator[None]:
    """Restore torch's random state, so that keeping weights does not change later ones.

    Merging an adapter into the base model draws the initial weights of another adapter.
    """
    import torch

    here = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=here):
        yield
