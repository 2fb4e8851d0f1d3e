"""What a study file says of a merge."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.merging.spec import MergeSpec

PATHS = {name: Path("/runs") / name for name in ("sft-0", "sft-100", "start")}
BASE = Path("/models/base")


def recipe(**spec: Any) -> Any:
    """Return the recipe of a specification."""
    return MergeSpec.model_validate(spec).to_recipe(PATHS, BASE)


def test_a_list_of_models_means_equal_weights() -> None:
    """Each of N models has the weight 1/N."""
    merged = recipe(method="slerp", models=["sft-0", "sft-100"])
    assert [model.parameters for model in merged.models] == [{"weight": 0.5}] * 2
    assert [model.path for model in merged.models] == ["/runs/sft-0", "/runs/sft-100"]
    assert merged.base is None


def test_models_may_be_listed_as_mergekit_lists_them() -> None:
    """A mapping with the name, and with parameters where the model has its own."""
    plain = recipe(method="slerp", models=[{"model": "sft-0"}, {"model": "sft-100"}])
    assert plain == recipe(method="slerp", models=["sft-0", "sft-100"])
    listed = [
        {"model": "base"},
        {"model": "sft-0", "parameters": {"weight": 0.7, "density": 0.5}},
        {"model": "sft-100", "parameters": {"weight": [0.3, 0.1]}},
    ]
    named = {"sft-0": {"weight": 0.7, "density": 0.5}, "sft-100": [0.3, 0.1]}
    assert recipe(method="ties", models=listed) == recipe(method="ties", models=named)


def test_a_shared_weight_is_not_replaced_by_equal_shares() -> None:
    """Weights of 1 add task vectors, and shares of 1/N are their mean."""
    merged = recipe(method="task_arithmetic", models=["sft-0", "sft-100"], parameters={"weight": 1})
    assert [model.parameters for model in merged.models] == [{}, {}]
    assert merged.parameters == {"weight": 1}


def test_a_number_or_a_gradient_at_a_name_is_that_models_weight() -> None:
    """Weights belong to models by name, never by position."""
    merged = recipe(method="slerp", models={"sft-0": [1, 0.5, 0], "sft-100": 0.5})
    weights = {model.name: model.parameters["weight"] for model in merged.models}
    assert weights == {"sft-0": (1, 0.5, 0), "sft-100": 0.5}


@pytest.mark.parametrize("method", ["dare_ties", "linear"])
def test_the_order_of_the_models_does_not_count(method: str) -> None:
    """The recipe has the models by name: draws, rounding and files follow from a model's place."""
    one = recipe(method=method, models=["sft-100", "sft-0"])
    assert one == recipe(method=method, models=["sft-0", "sft-100"])
    assert [model.name for model in one.models] == ["sft-0", "sft-100"]
    assert one.donor.name == "sft-0"


def test_task_vectors_start_from_the_base_of_the_study() -> None:
    """The study's base is the default; the first model gives configuration and tokenizer."""
    models = {"sft-0": {"weight": 0.5, "density": 0.6}, "sft-100": 0.5}
    merged = recipe(method="ties", models=models, parameters={"lambda": 0.9})
    assert merged.base.path == "/models/base"
    assert merged.models[0].parameters == {"weight": 0.5, "density": 0.6}
    assert merged.parameters == {"lambda": 0.9}
    assert merged.donor.name == "sft-0"


def test_another_base_is_a_checkpoint_that_must_exist_first() -> None:
    """A named base is one of the merge's parents."""
    spec = MergeSpec(method="task_arithmetic", models=["sft-0"], base="start")
    assert spec.checkpoints == ("sft-0", "start")
    merged = spec.to_recipe(PATHS, BASE)
    assert merged.base is not None
    assert merged.base.path == "/runs/start"


def test_a_specification_reads_back_what_it_wrote() -> None:
    """JSON, as it stands in a step's settings, loses nothing."""
    rules = [{"filter": "mlp", "value": [0, 1]}, {"value": 0.5}]
    spec = MergeSpec.model_validate(
        {"method": "dare_ties", "models": {"sft-0": {"weight": rules}, "sft-100": 1}}
    )
    assert MergeSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"method": "slrp", "models": ["a", "b"]}, "unknown merge method `slrp`; did you mean"),
        ({"method": "slerp", "models": ["a"]}, "exactly 2 models"),
        ({"method": "slerp", "models": ["a", "a"]}, "named twice"),
        ({"method": "slerp", "models": ["a", "b"], "t": 0.5}, "t\n"),
        ({"method": "linear", "models": {}}, "models"),
        ({"method": "linear", "models": {"a": "much"}}, "`weight` must be a finite number"),
        ({"method": "linear", "models": {"a": None}}, "one value or a list"),
        ({"method": "linear", "models": {"a": {"wieght": 1}}}, "did you mean `weight`"),
        ({"method": "linear", "models": {"a": {"normalize": 1}}}, "for all models together"),
        ({"method": "linear", "models": ["a"], "base": "b"}, "does not use a base"),
        ({"method": "ties", "models": ["a"], "base": "a"}, "two inputs have the name `a`"),
        ({"method": "ties", "models": ["a", "b"], "base": "a"}, "two inputs have the name `a`"),
        ({"method": "linear", "models": ["a", -100]}, "an entry of the list is a name.* not -100"),
        ({"method": "linear", "models": [{"a": 1}]}, "`{model: NAME, parameters: {…}}`, not {'a'"),
        ({"method": "linear", "models": [{"model": ["a"]}]}, "an entry of the list is a name"),
        ({"method": "linear", "models": [{"model": "a", "weight": 1}]}, "an entry of the list is"),
        ({"method": "linear", "models": [{"model": "a", "parameters": 1}]}, "an entry of the list"),
        ({"method": "linear", "models": [{"model": "a"}, "a"]}, "a model is named twice"),
        (
            {"method": "linear", "models": [{"model": "a", "parameters": {"weight": 1}}, "b"]},
            "model `b`: linear needs `weight`",
        ),
        ({"method": "linear", "models": "a"}, "dict"),
    ],
)
def test_a_wrong_specification_is_refused(spec: dict[str, Any], message: str) -> None:
    """Mistakes are found when the study file is read, before any checkpoint exists."""
    with pytest.raises(ValidationError, match=message):
        MergeSpec.model_validate(spec)


def test_specifications_are_light() -> None:
    """Neither the specification nor the engine imports torch, transformers or datasets."""
    code = (
        "import sys, mixmerge.merging.engine, mixmerge.merging.inspection.inspect;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'scipy', 'matplotlib')"
        " if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
