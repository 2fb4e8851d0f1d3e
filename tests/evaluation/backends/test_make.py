"""Specifications become backends of the kind that they describe."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.backends.chat_endpoint import EndpointBackend
from mixmerge.evaluation.backends.hugging_face import TransformersBackend
from mixmerge.evaluation.backends.make import make_backend
from mixmerge.evaluation.backends.vllm_engine import VllmBackend
from mixmerge.evaluation.generate_spec import GenerateSpec
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.study.spec import Study

GENERATE: TypeAdapter[GenerateSpec] = TypeAdapter(GenerateSpec)
AXIS = {
    "prompts": {"testbed": "general"},
    "judge": {"rules": "testbed"},
    "measure": {"rate": "correct"},
}
SERVED = {"endpoint": "http://localhost:8000/v1", "model": "{model}"}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({}, TransformersBackend),
        ({"backend": "transformers"}, TransformersBackend),
        ({"backend": "vllm", "tensor_parallel": 2}, VllmBackend),
        (SERVED, EndpointBackend),
    ],
)
def test_backends_are_told_apart_by_their_keys(
    tiny_model: Path, tmp_path: Path, spec: dict[str, Any], kind: type
) -> None:
    """Nothing means transformers; making a backend loads nothing."""
    read = GENERATE.validate_python(spec)
    assert isinstance(make_backend(read, tiny_model, calls=tmp_path / "calls.jsonl"), kind)


def test_a_model_must_be_somewhere(tmp_path: Path) -> None:
    """Without an endpoint a folder is needed, and a complete one."""
    read = GENERATE.validate_python({})
    with pytest.raises(SpecError, match="needs a folder, unless an endpoint serves it"):
        make_backend(read, None, calls=tmp_path / "calls.jsonl")
    with pytest.raises(ModelError, match=r"no config\.json"):
        make_backend(read, tmp_path, calls=tmp_path / "calls.jsonl")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"backend": "tgi"}, "give `backend: transformers`, `backend: vllm`, or"),
        ({"backend": "vllm", "memory": 2}, "less than or equal to 1"),
        ({"tensor_parallel": 2}, "Extra inputs are not permitted"),
        ({"endpoint": "localhost", "model": "m"}, "String should match pattern"),
    ],
)
def test_a_wrong_backend_names_its_problem(spec: dict[str, Any], message: str) -> None:
    """Each mistake gives the message of the kind of backend that was meant."""
    with pytest.raises(ValidationError, match=message) as raised:
        GENERATE.validate_python(spec)
    assert raised.value.error_count() == 1


def test_one_served_model_cannot_answer_for_all() -> None:
    """At an evaluation's endpoint every model needs its name; a model's own needs none."""
    axes = {"axes": {"facts": AXIS}}
    with pytest.raises(ValidationError, match=r"`generate.model` must contain `\{model\}`"):
        EvaluateSpec.model_validate({**axes, "generate": {**SERVED, "model": "gpt"}})
    study = Study.model_validate(
        {
            "base": "models/base",
            "checkpoints": {"gpt": {"generate": {**SERVED, "model": "gpt"}}, "mine": "models/mine"},
            "evaluate": {**axes, "generate": SERVED},
        }
    )
    assert study.given()["gpt"].model is None
    assert study.evaluate.generate.serving("mine").identity()["model"] == "mine"
    with pytest.raises(ValidationError, match="give the model's folder as `model`, or `generate:"):
        Study.model_validate({**study.model_dump(), "base": {"kind": "merge"}})
