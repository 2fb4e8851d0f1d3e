"""Which tensors fit together."""

import json
from typing import Any

import numpy as np
import pytest
import transformers

from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import NewTensor
from mixmerge.merging.planning.compatibility import counterpart, problems, tensor_problems

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tensor(dtype: str, *shape: int) -> NewTensor:
    """Return what a header says of a tensor."""
    return NewTensor("w", dtype, shape)


def test_tensors_of_one_shape_fit_in_any_type_with_a_fraction() -> None:
    """bfloat16, float16 and float32, and buffers of one type."""
    inputs = [(name, "w", tensor(name, 2, 3)) for name in ("BF16", "F16", "F32")]
    assert tensor_problems("w", inputs) == []
    assert tensor_problems("w", [("a", "w", tensor("I64")), ("b", "w", tensor("I64"))]) == []


def test_every_misfit_of_a_tensor_is_named() -> None:
    """Absence, type, shape, and a buffer that is none elsewhere."""
    inputs = [
        ("a", "w", tensor("F32", 2, 3)),
        ("b", None, None),
        ("c", "v", tensor("F64", 2, 3)),
        ("d", "w", tensor("F32", 5, 3)),
        ("e", "w", tensor("F32", 2, 4)),
        ("f", "w", tensor("I64", 2, 3)),
    ]
    align = "(if these are rows of tokens, align them with `tokenizer: {source: union}`)"
    assert tensor_problems("w", inputs) == [
        "tensor w is in a and not in b",
        "tensor v of c is F64, which cannot be merged; convert it to one of BF16, F16, F32",
        f"tensor w has shape [2, 3] in a and [5, 3] in d {align}",
        "tensor w has shape [2, 3] in a and [2, 4] in e",
        "tensor w is F32 in a and I64 in f",
    ]


def test_the_counterpart_of_a_head_is_the_embedding_it_is_tied_to(model: Any, weights: Any) -> None:
    """Unless the configuration denies it; nothing else has a counterpart by another name."""
    tensors = weights(1)
    del tensors[HEAD]
    silent = Checkpoint("silent", model("silent", tensors))
    denying = Checkpoint("no", model("no", tensors, config={"tie_word_embeddings": False}))
    stored = Checkpoint("stored", model("stored", weights(1)))
    assert counterpart(silent, HEAD) == EMBEDDING
    assert counterpart(denying, HEAD) is None
    assert counterpart(stored, HEAD) == HEAD
    assert counterpart(silent, "model.bias") is None
    assert problems([silent, stored]) == []
    (problem,) = problems([stored, denying])
    assert problem.endswith("not in no (whose configuration does not tie it to the embedding)")


def test_a_tied_embedding_of_another_shape_is_no_head(model: Any, weights: Any) -> None:
    """The rows of the stored head and of the embedding must be as many."""
    tensors = weights(1)
    head = tensors.pop(HEAD)
    tied = Checkpoint("tied", model("tied", tensors))
    longer = {**weights(2), HEAD: head[:3]}
    found = problems([tied, Checkpoint("longer", model("longer", longer))])
    assert found[0].startswith(
        "tensor lm_head.weight has shape [5, 4] in tied and [3, 4] in longer"
    )


@pytest.mark.parametrize("same", [True, False])
def test_tokenizers_in_two_forms_are_compared_by_their_tokens(same: bool, model: Any) -> None:
    """An older form is converted; only other ids for a token are a difference."""
    words = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "x", "y")
    tensors = {EMBEDDING: np.zeros((7, 2), np.float32)}
    a, b = (model(name, tensors, config={"model_type": "bert"}) for name in "ab")
    settings = {"tokenizer_class": "BertTokenizer"}
    for folder in (a, b):
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (a / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(a / "vocab.txt")).save_pretrained(a)
    (a / "vocab.txt").unlink(missing_ok=True)
    (b / "vocab.txt").write_text("\n".join(words if same else (*words[:5], "y", "x")))
    found = problems([Checkpoint("a", a), Checkpoint("b", b)])
    assert (found == []) == same
    assert same or "token 'x' has id 5 in a and 6 in b" in found[0]
