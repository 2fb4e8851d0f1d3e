"""What an inspection says of models."""

from typing import Any

from mixmerge.merge.inspect import inspect


def test_the_summary_is_that_of_the_headers(model: Any, weights: Any) -> None:
    """Sizes, types, layers and vocabulary are counted, no weight is loaded."""
    tensors = weights(1, layers=3)
    types = {"lm_head.weight": "F32"}
    folder = model("a", tensors, dtype="BF16", dtypes=types, config={"tie_word_embeddings": True})
    (summary,) = inspect([folder]).models
    count = sum(values.size for values in tensors.values())
    assert summary.name == "a"
    assert summary.architecture == "Toy"
    assert summary.tensors == len(tensors)
    assert summary.parameters == count
    assert summary.nbytes == 2 * count + 2 * tensors["lm_head.weight"].size
    assert summary.dtypes == {"BF16": len(tensors) - 1, "F32": 1}
    assert summary.layers == 3
    assert summary.tied
    assert summary.vocabulary == 2


def test_models_of_one_family_are_compatible(model: Any, weights: Any) -> None:
    """Other values and other types do not prevent a merge; other settings are noted."""
    paths = [
        model("a", weights(1)),
        model("b", weights(2), dtype="BF16", config={"rope_theta": 1e6}),
    ]
    found = inspect(paths)
    assert found.compatible
    assert found.notes == ("config.json: rope_theta is None in a and 1000000.0 in b",)


def test_every_problem_is_listed(model: Any, weights: Any) -> None:
    """All differences are named, not only the first."""
    other = weights(2)
    other["model.norm.weight"] = other["model.norm.weight"][:2]
    del other["lm_head.weight"]
    untied = {"tie_word_embeddings": False}
    found = inspect([model("a", weights(1)), model("x/a", other, tokens=("b",), config=untied)])
    assert not found.compatible
    assert len(found.problems) == 3
    assert all(model.name.endswith("/a") for model in found.models)
