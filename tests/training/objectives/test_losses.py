"""Losses of all objectives, checked in float64 against their papers' equations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.files import read_rows
from mixmerge.progress import silent
from mixmerge.records import ModelFolder
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.data import read_data
from mixmerge.training.plan import row_order, sorted_within_steps
from mixmerge.training.report import CurvePoint
from mixmerge.training.run import train

Write = Callable[[str, int], Path]
Scores = dict[str, Any]
"""Of the pairs of a step: each side's ``sum`` and ``mean`` log-probability, and its ``length``."""


def softplus(value: Any) -> Any:
    """Return -log sigmoid(-value)."""
    import torch

    return torch.nn.functional.softplus(value)


def cpo(step: Scores, settings: Any) -> Any:
    """Equation 6 of Xu et al. (2024): the preference and, weighed, the likelihood of the chosen."""
    margin = settings.beta * (step["chosen_sum"] - step["rejected_sum"])
    kinds = {
        "sigmoid": (1 - settings.label_smoothing) * softplus(-margin)
        + settings.label_smoothing * softplus(margin),
        "hinge": (1 - margin).clamp(min=0),
        "ipo": (step["chosen_mean"] - step["rejected_mean"] - 1 / (2 * settings.beta)) ** 2,
    }
    likelihood = -step["chosen_sum"].sum() / step["chosen_length"].sum()
    return kinds[settings.loss_type].mean() + settings.cpo_alpha * likelihood


def simpo(step: Scores, settings: Any) -> Any:
    """Equation 6 of Meng et al. (2024), and the likelihood if it is asked for."""
    margin = settings.beta * (step["chosen_mean"] - step["rejected_mean"]) - settings.simpo_gamma
    likelihood = -step["chosen_sum"].sum() / step["chosen_length"].sum()
    return softplus(-margin).mean() + settings.cpo_alpha * likelihood


def orpo(step: Scores, settings: Any) -> Any:
    """Equations 4, 6 and 7 of Hong et al. (2024), where P is the geometric mean over tokens."""
    odds = {}
    for side in ("chosen", "rejected"):
        p = step[f"{side}_mean"].exp()
        odds[side] = p / (1 - p)
    likelihood = -step["chosen_sum"].sum() / step["chosen_length"].sum()
    return likelihood + settings.beta * softplus(-(odds["chosen"] / odds["rejected"]).log()).mean()


EQUATIONS = {"cpo": cpo, "simpo": simpo, "orpo": orpo}


def log_probs(model: Any, prompt: list[int], answer: list[int]) -> Any:
    """Return the log-probability of each token of an answer, from the logits of one row alone."""
    import torch

    ids = torch.tensor([prompt + answer])
    logits = model(input_ids=ids).logits[0, :-1]
    return logits.log_softmax(-1).gather(-1, ids[0, 1:, None])[len(prompt) - 1 :, 0]


def loaded(folder: Path) -> Any:
    """Return a model in float64."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


def step_of(model: Any, columns: dict[str, Any], rows: Any) -> Scores:
    """Return the scores of the pairs of a step."""
    import torch

    found: dict[str, list[Any]] = {}
    for row in rows:
        for side in ("chosen", "rejected"):
            each = log_probs(model, columns["prompt_ids"][row], columns[f"{side}_ids"][row])
            for name, value in (("sum", each.sum()), ("mean", each.mean())):
                found.setdefault(f"{side}_{name}", []).append(value)
            found.setdefault(f"{side}_length", []).append(torch.tensor(float(len(each))))
    return {name: torch.stack(values) for name, values in found.items()}


def kto_loss(
    model: Any, reference: Any, columns: dict[str, Any], rows: list[int], settings: Any
) -> Any:
    """Equation 8 of Ethayarajh et al. (2024); the KL from answers half a batch away."""
    import torch

    def ratio(row: int, answer: int, policy: Any) -> Any:
        ids = columns["prompt_ids"][row], columns["completion_ids"][answer]
        with torch.no_grad():
            anchor = log_probs(reference, *ids).sum()
        return log_probs(policy, *ids).sum() - anchor

    half = len(rows) // 2
    with torch.no_grad():
        mismatched = [ratio(row, rows[n - half], model) for n, row in enumerate(rows)]
        kl = torch.stack(mismatched).mean().clamp(min=0)
    terms = []
    for row in rows:
        good = columns["label"][row]
        weight = settings.desirable_weight if good else settings.undesirable_weight
        margin = ratio(row, row, model) - kl
        terms.append(weight * (1 - torch.sigmoid(settings.beta * (margin if good else -margin))))
    return torch.stack(terms).mean()


def expected(spec: TrainSpec, folder: Path, rows: Path) -> list[float]:
    """Train with a plain loop in float64, one row at a time without padding."""
    import torch

    encoded = read_data(spec, ModelFolder(folder), rows, silent).encoded
    order = row_order(len(encoded.read), spec.batch_size, spec.steps(0), spec.seed)
    order = sorted_within_steps(order, encoded.longest)
    model, reference = loaded(folder), loaded(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=0.0)
    optimizer.param_groups[0]["lr"] = 0.0  # the first step of the warm-up
    found = []
    for step in order.tolist():
        if spec.method == "kto":
            loss = kto_loss(model, reference, encoded.columns, step, spec.own)
        else:
            loss = EQUATIONS[spec.method](step_of(model, encoded.columns, step), spec.own)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.max_grad_norm)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = spec.learning_rate
        found.append(loss.item())
    return found


@pytest.mark.parametrize(
    "own",
    [
        {"method": "kto"},
        {"method": "kto", "beta": 0.5, "desirable_weight": 0.6, "undesirable_weight": 1.5},
        {"method": "cpo"},
        {"method": "cpo", "cpo_alpha": 0.3, "label_smoothing": 0.2, "beta": 0.4},
        {"method": "cpo", "loss_type": "hinge"},
        {"method": "cpo", "loss_type": "ipo", "cpo_alpha": 0},
        {"method": "simpo"},
        {"method": "simpo", "beta": 2.5, "simpo_gamma": 1.4, "cpo_alpha": 0.2},
        {"method": "orpo"},
        {"method": "orpo", "beta": 0.7},
    ],
    ids=lambda own: "-".join(map(str, own.values())),
)
@pytest.mark.parametrize("micro", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_losses_follow_the_equations(
    own: dict[str, Any], micro: int, cohere: Path, rows_for: Write, tmp_path: Path
) -> None:
    """From step 0 on, however a step is split over forward passes."""
    spec = TrainSpec.model_validate(
        {"learning_rate": 3e-3, "max_steps": 4, "batch_size": 8, "schedule": "constant"} | own
    )
    rows, out = rows_for(spec.method, 20), tmp_path / "out"
    placement = TrainPlacement(per_device_batch=micro)
    report = train(spec, model=cohere, rows=rows, out=out, placement=placement)
    seen = [point.loss for point in read_rows(out / "curve.jsonl", CurvePoint)]
    wanted = expected(spec, cohere, rows)
    assert seen[0] == pytest.approx(wanted[0], abs=2e-6 * max(1, wanted[0]))
    assert seen == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert len(np.unique(np.round(seen, 5))) > 2  # it learns
    assert (report.reference_reused is None) == (spec.method != "kto")
