"""The verdict on how two models are related."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mixmerge.merging.inspection.inspect import inspect
from mixmerge.merging.inspection.measurements import judged_by
from mixmerge.merging.inspection.result import COUSIN, SIBLING, Relatedness

Model = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def turned(base: Model, cosine: float, seed: int = 5) -> Model:
    """Return a model whose every tensor has this cosine with the base's, and the same norm."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, values in base.items():
        vector = values.reshape(-1).astype(np.float64)
        other = rng.standard_normal(vector.size)
        other -= vector * (other @ vector) / (vector @ vector)
        other *= np.linalg.norm(vector) / np.linalg.norm(other)
        mixed = cosine * vector + math.sqrt(1 - cosine**2) * other
        result[name] = mixed.reshape(values.shape).astype(np.float32)
    return result


@pytest.fixture
def verdict(model: Any) -> Callable[..., Relatedness]:
    """Return the maker of the verdict on two models."""

    def judge(a: Model, b: Model, **more: Any) -> Relatedness:
        found = inspect([model("a", a), model("b", b, **more)]).comparison
        assert found is not None
        (related,) = found.relatedness
        return related

    return judge


@pytest.mark.parametrize(
    ("cosine", "relation"),
    [
        (0.9999, "sibling"),
        (SIBLING + 1e-5, "sibling"),
        (SIBLING - 1e-5, "cousin"),
        (COUSIN + 1e-5, "cousin"),
        (COUSIN - 1e-5, "stranger"),
        (-0.999, "stranger"),
    ],
)
def test_the_angle_decides(cosine: float, relation: str, verdict: Any, weights: Any) -> None:
    """Models of one shape are judged by the cosine of their weights, which is shown."""
    base = weights(0)
    found = verdict(base, turned(base, cosine))
    assert found.relation == relation
    assert found.cosine == pytest.approx(cosine, abs=1e-6)


def test_embeddings_and_norms_do_not_decide(verdict: Any, weights: Any) -> None:
    """Equal embeddings, norms and heads do not make relatives of layers that differ."""
    base = weights(0)
    other = {
        name: values if ".layers." not in name or "norm" in name else weights(1)[name]
        for name, values in base.items()
    }
    assert verdict(base, other).relation == "stranger"


def test_other_tokens_make_cousins(verdict: Any, weights: Any) -> None:
    """Nearly parallel weights with another vocabulary, of other size or not, are cousins."""
    base = weights(0)
    found = verdict(base, base, tokens=("b", "a"))
    assert (found.relation, found.reason) == ("cousin", "nearly parallel, but other tokens")
    longer = {**base, "model.embed_tokens.weight": np.zeros((7, 4), np.float32)}
    found = verdict(base, longer, tokens=("a", "b", "c"))
    assert found.relation == "cousin"
    assert found.reason == "nearly parallel, but embedding or head do not fit"


def test_what_does_not_fit_is_a_stranger(verdict: Any, weights: Any) -> None:
    """Another architecture, and tensors of other names or shapes, cannot be merged."""
    base = weights(0)
    found = verdict(base, base, config={"model_type": "other"})
    assert (found.relation, found.reason) == ("stranger", "another architecture")
    found = verdict(base, weights(0, layers=2))
    assert (found.relation, found.reason) == ("stranger", "tensors of other names or shapes")


def test_what_decides_where_there_are_no_layers() -> None:
    """Without matrices in layers all matrices decide, and without matrices everything."""
    layers = {"model.layers.0.mlp.w": 2, "model.layers.0.norm.weight": 1, "embed.weight": 2}
    assert judged_by(layers) == ["model.layers.0.mlp.w"]
    assert judged_by({"a": 2, "b": 1}) == ["a"]
    assert judged_by({"a": 0, "b": 1}) == ["a", "b"]


def test_training_keeps_relatives_and_a_new_start_makes_strangers(tmp_path: Any) -> None:
    """Two short trainings of one transformer are siblings; another initialisation is a stranger."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    words = {f"w{number}": number for number in range(31)} | {"<unk>": 31}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<unk>")), unk_token="<unk>"
    )

    def trained(name: str, start: int, data: int) -> Any:
        torch.manual_seed(start)
        model = LlamaForCausalLM(config)
        torch.manual_seed(data)
        rows = torch.randint(32, (8, 16))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            model(input_ids=rows, labels=rows).loss.backward()
            optimizer.step()
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name

    folders = [trained("a", 0, 1), trained("b", 0, 2), trained("c", 3, 1)]
    found = inspect(folders)
    assert found.compatible
    assert found.comparison is not None
    relations = [each.relation for each in found.comparison.relatedness]
    assert relations == ["sibling", "stranger", "stranger"]
    assert [part.name for part in found.comparison.kinds] == [
        "embedding", "attention", "mlp", "norm", "head",
    ]  # fmt: skip
    assert [part.name for part in found.comparison.layers] == ["model.layers.0", "model.layers.1"]
    assert [each.rows for each in found.models] == [32, 32, 32]
