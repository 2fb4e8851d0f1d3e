"""Models whose tensors have the same names but for the first word."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.prefixes import with_common_names

Load = Callable[[Path], dict[str, Array]]


def gpt2(seed: int, prefix: str) -> dict[str, Array]:
    """Return the tensors of a tiny GPT-2."""
    rng = np.random.default_rng(seed)
    names = ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight", "h.1.mlp.c_fc.weight", "ln_f.bias")
    return {prefix + name: rng.standard_normal((4, 4), dtype=np.float32) for name in names}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_model_without_the_first_word_is_merged_with_one_that_has_it(
    order: tuple[int, int], model: Any, load: Load, tmp_path: Path
) -> None:
    """The output has the longer names, whichever comes first; old masks do not matter."""
    mask = {"h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32)}
    folders = [model("short", {**gpt2(1, ""), **mask}), model("long", gpt2(2, "transformer."))]
    entries = [{"model": str(folders[i]), "parameters": {"weight": 0.5}} for i in order]
    merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
    got = load(tmp_path / "out")
    assert got.keys() == gpt2(2, "transformer.").keys()
    for name, values in gpt2(2, "transformer.").items():
        short = gpt2(1, "")[name.removeprefix("transformer.")]
        np.testing.assert_allclose(got[name], (short + values) / 2, rtol=1e-6)


def test_a_model_is_known_by_what_it_stores(model: Any) -> None:
    """Its fingerprint does not depend on the models it is merged with."""
    short = Checkpoint("a", model("a", gpt2(1, "")))
    alone = short.fingerprint
    (renamed, _) = with_common_names([short, Checkpoint("b", model("b", gpt2(2, "model.")))])
    assert "model.wte.weight" in renamed.tensors
    assert renamed.fingerprint == alone


def test_models_that_share_a_name_are_left_alone(model: Any) -> None:
    """A missing tensor is then a missing tensor."""
    one = Checkpoint("a", model("a", gpt2(1, "")))
    two = Checkpoint("b", model("b", {**gpt2(2, "x."), "wte.weight": np.ones((4, 4), np.float32)}))
    assert with_common_names([one, two]) == [one, two]


def test_what_does_not_fit_is_named_with_the_word(model: Any, tmp_path: Path) -> None:
    """One tensor too many is one problem, and not one for each tensor."""
    more = {**gpt2(1, ""), "h.0.extra": np.ones(2, np.float32)}
    folders = [model("more", more), model("long", gpt2(2, "transformer."))]
    entries = [{"model": str(folder), "parameters": {"weight": 0.5}} for folder in folders]
    with pytest.raises(ModelError, match=r"tensor transformer\.h\.0\.extra is in .*long\.$"):
        merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
