"""What an inspection says of models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.inspection.inspect import inspect
from mixmerge.merging.inspection.result import Inspection


def test_the_summary_is_that_of_the_headers(model: Any, weights: Any) -> None:
    """Sizes, types, layers and vocabulary are counted; one model is compared with nothing."""
    tensors = weights(1, layers=3)
    types = {"lm_head.weight": "F32"}
    folder = model("a", tensors, dtype="BF16", dtypes=types, config={"tie_word_embeddings": True})
    found = inspect([folder])
    (summary,) = found.models
    count = sum(values.size for values in tensors.values())
    assert summary.name == "a"
    assert summary.architecture == "Toy"
    assert summary.tensors == len(tensors)
    assert summary.parameters == count
    assert summary.nbytes == 2 * count + 2 * tensors["lm_head.weight"].size
    assert summary.dtypes == {"BF16": len(tensors) - 1, "F32": 1}
    assert summary.layers == 3
    assert (summary.vocabulary, summary.rows) == (2, 5)
    assert summary.tied
    assert summary.stores_head
    assert "a: config.json ties the head to the embedding, and the files hold a head" in str(
        found.notes
    )
    assert found.comparison is None


def test_models_of_one_family_are_compatible(model: Any, weights: Any) -> None:
    """Other values and other types do not prevent a merge; other settings are noted."""
    paths = [
        model("a", weights(1)),
        model("b", weights(2), dtype="BF16", config={"rope_theta": 1e6}),
    ]
    found = inspect(paths)
    assert found.compatible
    assert found.notes == (
        "config.json: rope_theta is None in a and 1000000.0 in b",
        "12 tensors are F32 in a and BF16 in b; their difference is partly rounding",
    )


def test_every_problem_is_listed_and_the_rest_is_compared(model: Any, weights: Any) -> None:
    """All differences are named, not only the first, and what fits is compared all the same."""
    other = weights(2)
    other["model.norm.weight"] = other["model.norm.weight"][:2]
    del other["model.layers.2.mlp.up_proj.weight"]
    found = inspect([model("a", weights(1)), model("x/a", other, tokens=("b",))])
    assert not found.compatible
    assert len(found.problems) == 3
    assert all(model.name.endswith("/a") for model in found.models)
    assert found.comparison is not None
    assert found.comparison.left_out == (
        "model.layers.2.mlp.up_proj.weight",
        "model.norm.weight",
    )
    assert found.comparison.whole.tensors == 10
    assert [each.relation for each in found.comparison.relatedness] == ["stranger"]


def test_the_base_comes_first_and_its_pairs_are_the_changes(model: Any, weights: Any) -> None:
    """With a base every model is compared with it, and the others' changes with each other."""
    names = ("base", "a", "b")
    base, *models = (model(name, weights(seed)) for seed, name in enumerate(names))
    found = inspect(models, base=base)
    assert found.base == "base"
    assert [each.name for each in found.models] == ["base", "a", "b"]
    assert found.comparison is not None
    whole = found.comparison.whole
    pairs = [("base", "a"), ("base", "b"), ("a", "b")]
    assert [(each.first, each.second) for each in whole.differences] == pairs
    assert [(each.first, each.second) for each in whole.interferences] == [("a", "b")]
    assert [(each.first, each.second) for each in found.comparison.relatedness] == pairs
    assert inspect(models).comparison != found.comparison
    assert len(inspect(models).models) == 2


def test_headers_only_reads_no_weight(model: Any, weights: Any) -> None:
    """Models are told apart by headers alone where weights are not asked for."""
    tensors = weights(1)
    broken = {**tensors, "lm_head.weight": np.full((5, 4), np.nan)}
    found = inspect([model("a", tensors), model("b", broken)], headers_only=True)
    assert found.compatible
    assert found.comparison is None


def test_a_broken_tensor_is_a_problem_and_the_rest_is_compared(model: Any, weights: Any) -> None:
    """NaN in a model is reported with its tensor; an inspection goes on."""
    broken = weights(2)
    broken["model.layers.1.mlp.up_proj.weight"][3, 2] = np.nan
    found = inspect([model("a", weights(1)), model("b", broken)])
    (problem,) = found.problems
    assert problem.startswith("tensor model.layers.1.mlp.up_proj.weight of ")
    assert "NaN or infinity" in problem
    assert found.comparison is not None
    assert found.comparison.whole.tensors == 11


def test_folders_of_training_steps_are_named_after_the_step(model: Any, weights: Any) -> None:
    """A model in `<step>/model` is called by its step, as it is in a run folder."""
    found = inspect([model("sft-0/model", weights(1)), model("sft-1/model", weights(2))])
    assert [each.name for each in found.models] == ["sft-0", "sft-1"]


def test_a_model_is_its_own_sibling(model: Any, weights: Any) -> None:
    """The same folder twice has no difference and a cosine of one."""
    folder = model("a", weights(1))
    found = inspect([folder, folder], base=folder)
    assert found.comparison is not None
    assert len({each.name for each in found.models}) == 3
    for difference in found.comparison.whole.differences:
        assert (difference.relative_size, difference.changed) == (0.0, 0.0)
        assert difference.cosine == pytest.approx(1.0, abs=1e-15)
        assert difference.straight == 12
    (between,) = found.comparison.whole.interferences
    assert (between.cosine, between.opposed, between.cancelled) == (None, None, None)


def test_the_json_reads_back(model: Any, weights: Any) -> None:
    """An inspection written as JSON is the same inspection when it is read."""
    base, *models = (model(name, weights(seed)) for seed, name in enumerate("xab"))
    found = inspect(models, base=base)
    assert Inspection.model_validate_json(found.model_dump_json()) == found


def test_progress_counts_the_bytes_of_all_models(model: Any, weights: Any) -> None:
    """A listener hears the bytes that were read, up to those of all inputs."""
    heard: list[tuple[float, float]] = []
    folders = [model("a", weights(1)), model("b", weights(2), dtype="BF16")]
    inspect(folders, progress=lambda done, total, _: heard.append((done, total)))
    count = sum(values.size for values in weights(1).values())
    assert heard[-1] == (6 * count, 6 * count)
    assert heard == sorted(heard)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threads": 0}, r"threads \(0\) must be at least 1"),
        ({"figure": Path("f.gif")}, r"f\.gif: a figure is a \.png, \.svg, \.pdf file"),
        ({"figure": Path("f.png"), "headers_only": True}, r"leave out --headers-only"),
    ],
)
def test_wrong_arguments_are_refused_before_reading(
    arguments: dict[str, Any], message: str, model: Any, weights: Any
) -> None:
    """What cannot be done is said at once, with what to do."""
    heard: list[float] = []
    folders = [model("a", weights(1)), model("b", weights(2))]
    with pytest.raises(SpecError, match=message):
        inspect(folders, progress=lambda done, *_: heard.append(done), **arguments)
    assert not heard


def test_no_model_and_no_folder_are_named(tmp_path: Path) -> None:
    """Nothing to inspect, and a folder that is not there, are mistakes with a message."""
    with pytest.raises(SpecError, match="needs at least one model"):
        inspect([])
    with pytest.raises(ModelError, match="no such folder"):
        inspect([tmp_path / "none"])


def test_an_adapter_is_compared_as_the_model_it_makes(model: Any, tmp_path: Path) -> None:
    """`MODEL+ADAPTER` differs from the model where the adapter says so, by its product."""
    rng = np.random.default_rng(0)
    tensors = {
        "model.layers.0.self_attn.q_proj.weight": rng.standard_normal((6, 4)).astype(np.float32),
        "model.layers.0.mlp.up_proj.weight": rng.standard_normal((8, 4)).astype(np.float32),
    }
    left, right = rng.standard_normal((6, 2)), rng.standard_normal((2, 4))
    adapter = tmp_path / "lora"
    adapter.mkdir()
    path = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {
            f"{path}.lora_A.weight": torch.tensor(right, dtype=torch.float32),
            f"{path}.lora_B.weight": torch.tensor(left, dtype=torch.float32),
        },
        adapter / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    base = model("base", tensors)
    found = inspect([f"{base}+{adapter}"], base=base)
    assert [each.name for each in found.models] == ["base", "lora"]
    assert found.comparison is not None
    attention, mlp = (part.differences[0].relative_size for part in found.comparison.kinds)
    change = 2 * np.linalg.norm(left @ right)
    norm = np.linalg.norm(tensors["model.layers.0.self_attn.q_proj.weight"])
    assert attention == pytest.approx(change / norm, rel=1e-5)
    assert mlp == 0.0


def test_tokens_are_counted_by_what_became_of_them(model: Any, weights: Any) -> None:
    """Each token is in both with one id, moved, or in one model only; examples come by id."""
    folders = [
        model("a", weights(1), tokens=("same", "x", "y", "old")),
        model("b", weights(2), tokens=("same", "y", "x", "new", "newer")),
    ]
    (found,) = inspect(folders).vocabularies
    assert (found.first, found.second) == ("a", "b")
    assert (found.same, found.moved, found.only_first, found.only_second) == (1, 2, 1, 2)
    examples = [(each.token, each.first_id, each.second_id) for each in found.examples]
    assert examples == [
        ("x", 1, 2), ("y", 2, 1), ("new", None, 3), ("old", 3, None), ("newer", None, 4),
    ]  # fmt: skip


def test_equal_tokenizers_are_not_mentioned(model: Any, weights: Any) -> None:
    """Models with one tokenizer have no difference of vocabularies."""
    assert not inspect([model("a", weights(1)), model("b", weights(2))]).vocabularies


def test_tokens_without_a_row_are_noted(model: Any, weights: Any) -> None:
    """A token whose id lies beyond the embedding is named; spare rows are no fault."""
    names = ("a", "b", "c", "d", "e", "f", "g")
    found = inspect([model("a", weights(1), tokens=names), model("b", weights(1))])
    assert [each.rows for each in found.models] == [5, 5]
    assert found.notes == (
        "a: 2 tokens have an id beyond the 5 rows of the embedding, for example 'f' (5)",
    )
