"""DPO as an objective."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.training import TrainPlacement, TrainSpec
from mixmerge.training.objectives.dpo import OBJECTIVE, DpoSettings, first_loss
from mixmerge.training.run import train

Write = Callable[[str, int], Path]


def test_dpo_must_start_at_ln_2() -> None:
    """Any other first loss means that the reference is another model."""
    check, settings = OBJECTIVE.check_first_loss, DpoSettings()
    check(math.log(2), "float32", settings)
    check(0.70, "bfloat16", settings)
    with pytest.raises(RuntimeError, match=r"DPO began with a loss of 0\.7000 instead of 0\.6931"):
        check(0.70, "float32", settings)
    with pytest.raises(RuntimeError, match=r"0\.0680 instead of 0\.6931"):
        check(0.068, "bfloat16", settings)
    with pytest.raises(RuntimeError, match=r"0\.6931 instead of 25\.0000"):
        check(math.log(2), "float32", DpoSettings(loss_type="ipo"))


@pytest.mark.parametrize(
    ("own", "start"),
    [
        ({"loss_type": "hinge"}, 1.0),
        ({"loss_type": "ipo", "beta": 0.2}, 6.25),
        ({"loss_type": "exo_pair", "label_smoothing": 1e-3}, 2.76123),
        ({"loss_type": "nca_pair"}, 2 * math.log(2)),
        ({"loss_type": "robust", "label_smoothing": 0.1}, math.log(2)),
        ({"loss_type": "bco_pair"}, 2 * math.log(2)),
        ({"loss_type": "sppo_hard"}, 50.0),
        ({"loss_type": "aot", "label_smoothing": 0.1}, math.log(2)),
        ({"loss_type": "aot_unpaired"}, math.log(2)),
        ({"loss_type": "apo_zero"}, 1.0),
        ({"loss_type": "apo_down"}, 1.0),
        ({"loss_type": "discopop", "discopop_tau": 0.1}, (math.log(2) + 1) / 2),
        ({"loss_type": "sigmoid_norm"}, math.log(2)),
        ({"loss_type": ["sigmoid", "hinge"], "loss_weights": [0.5, 2]}, math.log(2) / 2 + 2),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1, 0.2]}, None),
    ],
    ids=lambda value: str(value["loss_type"]) if isinstance(value, dict) else "",
)
def test_every_loss_of_trl_trains_from_its_start(
    own: dict[str, Any], start: float | None, cohere: Path, rows_for: Write, tmp_path: Path
) -> None:
    """Equal policy and reference give the loss's value at log-ratios of zero, and then it moves."""
    settings = {"learning_rate": 3e-3, "max_steps": 3, "batch_size": 4, "warmup_ratio": 0}
    spec = TrainSpec.model_validate({"method": "dpo", **settings, **own})
    report = train(spec, model=cohere, rows=rows_for("dpo", 8), out=tmp_path / "out")
    if start is None:
        assert first_loss(spec.own) is None
    else:
        assert first_loss(spec.own) == pytest.approx((start, start), rel=1e-5)
        assert report.first_loss == pytest.approx(start, rel=1e-4)
    assert report.final_loss < report.first_loss - 1e-4


def test_its_own_defaults_are_not_written() -> None:
    """A DPO training from before the other losses is found again."""
    plain = TrainSpec(method="dpo").model_dump(mode="json")
    for own in ({"loss_type": "sigmoid"}, {"loss_type": ["sigmoid"]}, {"discopop_tau": 0.05}):
        assert TrainSpec.model_validate({"method": "dpo", **own}).model_dump(mode="json") == plain
    other = TrainSpec.model_validate({"method": "dpo", "loss_type": ["ipo", "sft"]})
    assert other.model_dump(mode="json") == plain | {"loss_type": ["ipo", "sft"]}
    assert TrainSpec.model_validate(other.model_dump(mode="json")) == other


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"loss_type": "kto_pair"}, "loss_type"),
        ({"loss_type": []}, "name one loss, or several different ones"),
        ({"loss_type": ["ipo", "ipo"]}, "name one loss, or several different ones"),
        ({"loss_weights": [1, 2]}, "a weight for each loss: 1"),
        ({"loss_type": ["ipo", "sft"], "loss_weights": [1]}, "a weight for each loss: 2"),
        ({"label_smoothing": 0.1}, "`label_smoothing` is used by .*`robust`, not by `sigmoid`"),
        ({"loss_type": "exo_pair"}, "`loss_type: exo_pair` needs a `label_smoothing` above 0"),
        ({"loss_type": "robust", "label_smoothing": 0.5}, "less than 0.5"),
        ({"discopop_tau": 0.1}, "belongs to `loss_type: discopop`"),
    ],
)
def test_settings_that_do_nothing_are_refused(own: dict[str, Any], message: str) -> None:
    """What TRL would ignore or refuse later is an error at once."""
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate({"method": "dpo", **own})


@pytest.mark.parametrize("kind", ["aot", "aot_unpaired", "sft"])
def test_losses_of_a_whole_batch_are_not_split(
    kind: str, cohere: Path, rows_for: Write, tmp_path: Path
) -> None:
    """Where the loss is no mean over pairs, a split step would be another training."""
    spec = TrainSpec.model_validate({"method": "dpo", "loss_type": kind, "batch_size": 4})
    with pytest.raises(SpecError, match=r"at least 4 rows in each forward pass.*there are 2"):
        train(
            spec,
            model=cohere,
            rows=rows_for("dpo", 8),
            out=tmp_path / "out",
            placement=TrainPlacement(per_device_batch=2),
        )
