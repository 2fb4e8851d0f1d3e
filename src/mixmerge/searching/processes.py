"""Gaussian processes over merges, whose noise is known: what a search knows of its axes.

Every column has its own process over weights, parameters and methods, with a constant mean and a
Matérn or RBF kernel as BoTorch chooses them. The noise is not fitted: it is the clustered variance
of each estimate, so it is not the same for all candidates.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixmerge.execution.environment import cpu_threads
from mixmerge.searching.objective import Trial
from mixmerge.stats.bootstrap import Floats

if TYPE_CHECKING:
    import torch


def fitted(
    inputs: "torch.Tensor", columns: Sequence[tuple[Sequence[float], Sequence[float]]]
) -> Any:
    """Fit a Gaussian process with known noise to each column of values and variances."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms.outcome import Standardize
    from gpytorch.mlls import SumMarginalLogLikelihood

    models = [
        SingleTaskGP(
            inputs,
            torch.tensor(values, dtype=torch.float64)[:, None],
            train_Yvar=torch.tensor(variances, dtype=torch.float64)[:, None],
            outcome_transform=Standardize(m=1),
        )
        for values, variances in columns
    ]
    model = ModelListGP(*models)
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    return model


def predicted(
    trials: Sequence[Trial], goals: Sequence[int], features: Sequence[Sequence[float]]
) -> tuple[Floats, Floats]:
    """Return what trials say of other merges: means and standard deviations of each goal.

    They are of a merge's expected value, without the noise of its answers.

    Args:
        trials: with an estimate, at least two.
        goals: on which they do not all have the same value.
        features: of the merges, as `Candidate.features`.

    Returns:
        Two arrays of shape (merges, goals), in shares of the range where larger is better.
    """
    import torch

    told = [(t.candidate.features, t.measured) for t in trials if t.measured is not None]
    known = torch.tensor([own for own, _ in told], dtype=torch.float64)
    columns = [([m.values[g] for _, m in told], [m.variances[g] for _, m in told]) for g in goals]
    # One thread: sums in another order would give other numbers.
    with cpu_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of inputs and fits that are usual here
        model = fitted(known, columns)
        with torch.no_grad():
            posterior = model.posterior(torch.tensor(np.array(features), dtype=torch.float64))
            return posterior.mean.numpy(), posterior.variance.clamp_min(0).sqrt().numpy()
