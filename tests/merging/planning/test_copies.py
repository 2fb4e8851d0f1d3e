"""Weights that a model stores twice: equal before, equal after."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe

TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"
TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}


@pytest.fixture
def tied(model: Any, weights: Any) -> Any:
    """Write a model whose head is its embedding, stored or not."""

    def write(name: str, seed: int, *, stored: bool = True, **config: Any) -> Path:
        tensors = weights(seed)
        tensors[HEAD] = tensors[TABLE].copy()
        if not stored:
            del tensors[HEAD]
        folder: Path = model(name, tensors, config=config)
        return folder

    return write


def random_recipe(base: Path, *models: Path) -> dict[str, Any]:
    """Return a merge that drops elements at random."""
    parameters = {"weight": 0.5, "density": 0.5}
    entries = [{"model": str(each), "parameters": parameters} for each in models]
    return {"merge_method": "dare_linear", "base_model": str(base), "models": entries}


def stored(folder: Path) -> tuple[dict[str, Array], Any]:
    """Read a merged model and what its configuration says of its head."""
    from tests.merging.conftest import read_model

    config = json.loads((folder / "config.json").read_text())
    return read_model(folder), config.get("tie_word_embeddings")


def test_a_head_stored_beside_its_equal_gets_the_same_draws(tied: Any, tmp_path: Path) -> None:
    """Both are written, and are equal, for loaders that take either."""
    folders = [tied(name, seed, **TIED) for seed, name in enumerate(("base", "a", "b"))]
    merge(random_recipe(*folders), tmp_path / "out")
    tensors, says = stored(tmp_path / "out")
    np.testing.assert_array_equal(tensors[HEAD], tensors[TABLE])
    assert says is True


@pytest.mark.parametrize("config", [{}, TIED, UNTIED], ids=["unsaid", "tied", "untied"])
def test_a_head_that_one_model_stores_and_another_ties_stays_tied(
    config: dict[str, bool], tied: Any, tmp_path: Path
) -> None:
    """It is its embedding all the same; the output stores it once and says so."""
    storing = tied("storing", 1, **config)
    tying = [tied("base", 0, stored=False, **TIED), tied("a", 2, stored=False, **TIED)]
    notes = merge(random_recipe(storing, *tying), tmp_path / "out")
    tensors, says = stored(tmp_path / "out")
    assert HEAD not in tensors
    assert says is not False
    assert (
        f"tensor {HEAD}: equals {TABLE} wherever it is stored, so the output has it once" in notes
    )


def test_equal_heads_of_models_that_untie_them_are_their_own(tied: Any, tmp_path: Path) -> None:
    """All configurations say so: both are drawn for themselves, as any two tensors."""
    folders = [tied(name, seed, **UNTIED) for seed, name in enumerate(("base", "a", "b"))]
    merge(random_recipe(*folders), tmp_path / "out")
    tensors, says = stored(tmp_path / "out")
    assert says is False
    assert not np.array_equal(tensors[HEAD], tensors[TABLE])


def test_a_head_that_is_not_what_the_configuration_says_is_noted(
    model: Any, weights: Any, tmp_path: Path
) -> None:
    """Loaders differ in what they make of it; the output says what it has."""
    folders = [model(name, weights(seed), config=TIED) for seed, name in enumerate("ab")]
    entries = [{"model": str(folder), "parameters": {"weight": 0.5}} for folder in folders]
    notes = merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
    assert any("says that it is the embedding and stores another" in note for note in notes)
    assert stored(tmp_path / "out")[1] is False


def test_slices_of_other_models_have_a_head_of_their_own(tied: Any) -> None:
    """The embedding is the first slice's then, and the head the last one's."""
    a, b = (str(tied(name, seed, **TIED)) for seed, name in enumerate("ab"))
    parts = [{"sources": [{"model": m, "layer_range": [0, 2]}]} for m in (a, b)]
    plan = plan_merge(read_recipe({"merge_method": "passthrough", "slices": parts}))
    (head,) = [row for row in plan.rows if row.output.name == HEAD]
    assert head.inputs[0].name.startswith(f"{HEAD} of {b}")
    assert plan.config["tie_word_embeddings"] is False
    same = [{"sources": [{"model": a, "layer_range": [0, 2]}]}] * 2
    plan = plan_merge(read_recipe({"merge_method": "passthrough", "slices": same}))
    assert plan.config["tie_word_embeddings"] is True


@pytest.mark.parametrize("full", [0, 1])
def test_embeddings_of_encoder_and_decoder_are_one(full: int, model: Any, tmp_path: Path) -> None:
    """Older files of T5 have all three, newer ones the shared one alone."""
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", HEAD)
    folders = []
    for number in range(2):
        table = np.full((5, 2), number + 1, np.float32)
        names = ("shared.weight", *(copies if number == full else ()))
        tensors = dict.fromkeys((*names, "encoder.block.0.w"), table)
        folders.append(model(f"m{number}", tensors, config={"model_type": "t5"}))
    entries = [{"model": str(folder), "parameters": {"weight": 0.5}} for folder in folders]
    merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
    tensors, _ = stored(tmp_path / "out")
    assert tensors.keys() == {"shared.weight", "encoder.block.0.w"}
    np.testing.assert_array_equal(tensors["shared.weight"], np.full((5, 2), 1.5, np.float32))
