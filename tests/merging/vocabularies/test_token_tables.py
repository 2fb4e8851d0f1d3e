"""Which tensors follow the tokens, by name and by size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.merging.conftest import write_tokenizer

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.vocabularies.token_tables import refuse_other_tables, token_tables

ROWS = 7
TABLE = "bert.embeddings.word_embeddings.weight"
FOLLOWS = {
    TABLE: (ROWS, 3),
    "cls.predictions.bias": (ROWS,),
    "cls.predictions.decoder.weight": (ROWS, 3),
    "generator_lm_head.bias": (ROWS,),
    "vocab_projector.bias": (ROWS,),
    "decoder.bias": (ROWS,),
    "final_logits_bias": (1, ROWS),
    "tower.words_nobody_knows.scale": (ROWS, 2, 2),
}
STAYS = {
    "bert.embeddings.position_embeddings.weight": (ROWS, 3),
    "bert.embeddings.token_type_embeddings.weight": (2, 3),
    "transformer.wpe.weight": (ROWS, 3),
    "cls.predictions.transform.LayerNorm.weight": (ROWS,),
    "encoder.layer.0.output.dense.weight": (ROWS, 3),
    "pooler.dense.weight": (3, 3),
}


def test_tensors_follow_the_tokens_whatever_they_are_called(model: Any) -> None:
    """Outside of the layers no other tensor has as many rows as the embedding."""
    shapes = FOLLOWS | STAYS
    folder = model("m", {name: np.zeros(shape) for name, shape in shapes.items()})
    (folder / "modules.json").write_text('[{"path": "2_Dense"}]')
    (folder / "2_Dense").mkdir()
    dense = {"linear.weight": np.zeros((ROWS, 3), np.float32)}
    save_file(dense, folder / "2_Dense" / "model.safetensors")
    opened = Checkpoint("m", folder)
    assert "2_Dense/linear.weight" in opened.tensors
    assert token_tables(opened) == FOLLOWS.keys()
    refuse_other_tables(opened, ROWS)


@pytest.mark.parametrize(
    ("name", "shape", "config"),
    [
        ("cls.predictions.dense.weight", (3, ROWS), {}),
        ("head_of_something.weight", (ROWS, 3), {"intermediate_size": ROWS}),
        ("layers.0.shared_head.head.weight", (ROWS, 3), {}),
        ("model.embed_tokens_per_layer.weight", (ROWS + 1, 3), {}),
    ],
    ids=["columns", "a size of something else", "in a layer", "another table"],
)
def test_what_cannot_follow_is_refused_by_name(
    name: str, shape: tuple[int, ...], config: dict[str, int], model: Any
) -> None:
    """Nothing stays in the order of another vocabulary in silence."""
    tensors = {TABLE: np.zeros((ROWS, 3)), name: np.zeros(shape)}
    opened = Checkpoint("m", model("m", tensors, config=config))
    with pytest.raises(ModelError, match=f"tensor {name} has rows for tokens besides"):
        refuse_other_tables(opened, ROWS)


def test_biases_are_merged_by_token(model: Any, load: Any, tmp_path: Path) -> None:
    """Of vectors, and of rows of one: each token gets its own bias from both models."""
    folders = []
    for name, tokens in (("a", "xyz"), ("b", "zyxw")):
        rows = np.array([ord(token) for token in tokens], np.float32)
        tensors = {
            TABLE: np.stack([rows, rows], 1),
            "cls.predictions.bias": rows,
            "final_logits_bias": rows[np.newaxis],
        }
        folders.append(model(name, tensors))
        write_tokenizer(folders[-1], tokens)
    entries = [{"model": str(folder), "parameters": {"weight": 0.5}} for folder in folders]
    recipe = {"merge_method": "linear", "models": entries, "tokenizer": {"source": "union"}}
    merge(recipe, tmp_path / "out")
    got = load(tmp_path / "out")
    expected = [ord(token) for token in "xyzw"]
    assert got["cls.predictions.bias"].tolist() == expected
    assert got["final_logits_bias"].tolist() == [expected]
    assert got[TABLE][:, 0].tolist() == expected
