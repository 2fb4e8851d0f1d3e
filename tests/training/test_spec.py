"""Specifications: defaults, refusals, arithmetic of batches."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.errors import SpecError
from mixmerge.training import AdapterSpec, TrainJob, TrainPlacement, TrainSpec
from mixmerge.training.objectives import OBJECTIVES


def test_defaults_follow_the_method() -> None:
    """Left-out settings take the method's usual values, and are written into the identity."""
    sft, dpo = TrainSpec(), TrainSpec(method="dpo")
    assert (sft.learning_rate, sft.epochs, sft.own.beta) == (2e-5, 1.0, None)
    assert (dpo.learning_rate, dpo.epochs, dpo.own.beta) == (1e-6, 1.0, 0.1)
    assert TrainSpec(method="dpo", learning_rate=3e-4).learning_rate == 3e-4
    assert TrainSpec.model_validate(dpo.model_dump()) == dpo
    assert TrainSpec.model_validate(sft.model_dump()) == sft


IDENTITY = {
    "method": "sft",
    "learning_rate": 2e-5,
    "epochs": 1.0,
    "max_steps": None,
    "batch_size": 32,
    "max_length": None,
    "overlong": "error",
    "schedule": "linear",
    "warmup_ratio": 0.03,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "beta": None,
    "loss_on": "assistant",
    "adapter": None,
    "precision": "auto",
    "dtype": "auto",
    "seed": 0,
}
LORA = {"rank": 4, "alpha": 32.0, "dropout": 0.0, "targets": "all-linear"}


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"beta": None, "max_steps": 7}, {"epochs": None, "max_steps": 7}),
        ({"method": "dpo"}, {"method": "dpo", "learning_rate": 1e-6, "beta": 0.1}),
        (
            {"method": "dpo", "beta": None, "learning_rate": 5e-7, "adapter": {"rank": 4}},
            {"method": "dpo", "beta": 0.1, "learning_rate": 5e-7, "adapter": LORA},
        ),
        (
            {"method": "dpo", "beta": 0.3, "seed": 5},
            {"method": "dpo", "learning_rate": 1e-6, "beta": 0.3, "seed": 5},
        ),
    ],
)
def test_the_identity_of_a_training_stays(given: dict[str, Any], changed: dict[str, Any]) -> None:
    """Steps are found again by a hash of these keys and values: none may come, go or change."""
    assert TrainSpec.model_validate(given).model_dump(mode="json") == IDENTITY | changed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "max_steps": 3}, "not both"),
        ({"method": "sft", "beta": 0.1}, "`beta` belongs to `method: dpo` or `method: kto` or"),
        ({"method": "sft", "beta": 0}, "`beta` belongs to `method: dpo` or"),
        ({"method": "orpo", "loss_type": "ipo"}, "belongs to `method: dpo` or `method: cpo`"),
        ({"method": "simpo", "desirable_weight": 2}, "belongs to `method: kto`"),
        ({"method": "kto", "cpo_alpha": 2}, "belongs to `method: cpo` or `method: simpo`"),
        ({"method": "kto", "undesirable_weight": 0}, "greater than 0"),
        (
            {"method": "cpo", "loss_type": "hinge", "label_smoothing": 0.1},
            "`label_smoothing` is not used by `loss_type: hinge`",
        ),
        ({"method": "dpo", "beta": 0}, "greater than 0"),
        ({"method": "dpo", "bta": 0.1}, "unknown key.*`beta`.*; did you mean `beta`"),
        ({"learnig_rate": 1e-3}, "unknown key.*did you mean `learning_rate`"),
        ({"warmup": None}, "unknown key"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"learning_rate": float("nan")}, "finite number"),
        (
            {"method": "dppo"},
            "no such objective; known are `sft`, `dpo`, `kto`, .*; did you mean `dpo`",
        ),
        ({"method": ["sft"]}, "valid string"),
        ({"adapter": {"targets": ["q_proj", "lm_head"]}}, "lm_head"),
        ({"adapter": {"targets": []}}, "at least one layer"),
        ({"adapter": {"targets": ["up"], "modules_to_save": ["up"]}}, "`up` is in `targets` and"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    """A setting that cannot be meant is an error that says why."""
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate(settings)


def test_every_unknown_key_is_named_at_once() -> None:
    """Two unknown keys are two errors, each at its key."""
    with pytest.raises(ValidationError, match="2 validation errors") as found:
        TrainSpec.model_validate({"bta": 1, "sead": 2})
    assert [error["loc"] for error in found.value.errors()] == [("bta",), ("sead",)]


def test_the_schema_has_the_keys_of_all_objectives() -> None:
    """Editors offer every objective and its own keys, and refuse any other key."""
    schema = TrainSpec.model_json_schema()
    assert schema["properties"]["method"]["enum"] == [*OBJECTIVES]
    ways = schema["properties"]["beta"]["anyOf"]
    assert [way.get("exclusiveMinimum", way.get("minimum")) for way in ways[:2]] == [0, 0]
    losses = schema["properties"]["loss_type"]["anyOf"]
    assert any("dapo" in way.get("enum", ()) for way in losses)
    assert schema["properties"]["desirable_weight"]["exclusiveMinimum"] == 0
    assert re.search("DPO: .* KTO: .* CPO: ", schema["properties"]["beta"]["description"])
    assert schema["additionalProperties"] is False
    own = {key for objective in OBJECTIVES.values() for key in objective.keys}
    assert set(schema["properties"]) == {*IDENTITY, *own, "chat_template", "keep_steps"}
    assert {"loss_type", "desirable_weight", "simpo_gamma"} <= own


def test_a_reference_cache_needs_a_reference() -> None:
    """Objectives without a reference model have nothing to keep there."""
    for method in ("dpo", "kto"):
        settings = TrainSpec(method=method)
        TrainJob(model="m", rows=Path("r"), settings=settings, reference_cache=Path("c"))
    for method in ("sft", "cpo", "simpo", "orpo"):
        with pytest.raises(
            ValidationError, match=rf"\(`dpo`, `kto`\); `method: {method}` has none"
        ):
            TrainJob(
                model="m",
                rows=Path("r"),
                settings=TrainSpec(method=method),
                reference_cache=Path("c"),
            )


def test_one_way_to_shard() -> None:
    """FSDP and DeepSpeed exclude each other."""
    with pytest.raises(ValidationError, match="`fsdp` or `deepspeed`"):
        TrainPlacement(fsdp={}, deepspeed=Path("zero3.json"))


@pytest.mark.parametrize(
    ("rows", "epochs", "batch", "steps"),
    [(64, 1, 32, 2), (65, 1, 32, 3), (10, 0.5, 4, 2), (100, 1.1, 10, 11), (100, 0.07, 1, 7)],
)
def test_epochs_become_full_batches(rows: int, epochs: float, batch: int, steps: int) -> None:
    """The number of steps covers the epochs, rounded up to a whole batch."""
    assert TrainSpec(epochs=epochs, batch_size=batch).steps(rows) == steps


def test_max_steps_ignore_the_number_of_rows() -> None:
    """With max_steps the number of rows does not count."""
    assert TrainSpec(max_steps=7).steps(1) == TrainSpec(max_steps=7).steps(10**6) == 7


@pytest.mark.parametrize(
    ("placement", "ranks", "expected"),
    [
        (TrainPlacement(), None, (32, 1)),
        (TrainPlacement(devices=4), None, (8, 1)),
        (TrainPlacement(devices=4, per_device_batch=2), None, (2, 4)),
        (TrainPlacement(per_device_batch=2), 8, (2, 2)),
    ],
)
def test_the_global_batch_is_kept(
    placement: TrainPlacement, ranks: int | None, expected: tuple[int, int]
) -> None:
    """Rows per device times devices times accumulation is the global batch, however it is split."""
    micro, accumulation = placement.accumulation(32, ranks)
    assert (micro, accumulation) == expected
    assert micro * accumulation * (ranks or placement.devices) == 32


def test_an_impossible_split_is_refused() -> None:
    """A global batch that the devices cannot share evenly is an error, in a job file as well."""
    with pytest.raises(SpecError, match=r"batch_size is 32 rows, .* 10: 2 process\(es\) of 5"):
        TrainPlacement(devices=2, per_device_batch=5).accumulation(32)
    with pytest.raises(ValidationError, match="not a multiple of"):
        TrainJob(model="m", rows=Path("r"), placement=TrainPlacement(devices=3))


def test_quantization_enters_the_identity_only_where_it_is_asked_for() -> None:
    """A LoRA training from before QLoRA is found again; QLoRA is another training."""
    plain, quantized = (
        TrainSpec(adapter=AdapterSpec(rank=4, load_in_4bit=on)) for on in (False, True)
    )
    assert plain.model_dump(mode="json")["adapter"] == LORA
    assert quantized.model_dump(mode="json")["adapter"] == {**LORA, "load_in_4bit": True}
    assert TrainSpec.model_validate(quantized.model_dump(mode="json")) == quantized
    assert (TrainSpec().quantized, plain.quantized, quantized.quantized) == (False, False, True)


def test_adapter_defaults() -> None:
    """An adapter needs no settings."""
    assert AdapterSpec().targets == "all-linear"


def test_importing_the_specs_is_light() -> None:
    """Importing the part loads none of the heavy libraries."""
    heavy = "{'torch', 'transformers', 'trl', 'datasets', 'peft', 'scipy', 'matplotlib'}"
    code = f"import sys, mixmerge.training; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
