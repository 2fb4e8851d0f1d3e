"""Recipes in our own form: what is valid and what is not."""

from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.recipe import in_order, stage_of, with_folder
from mixmerge.merging.recipes.recipe_file import read_recipe


def own(**changes: Any) -> dict[str, Any]:
    """Return a valid recipe in our form, with changes."""
    models = [
        {"name": "a", "path": "/a", "parameters": {"weight": [0, 0.5]}},
        {"name": "b", "path": "/b", "parameters": {"weight": 1, "density": 0.5}},
    ]
    return {"method": "ties", "base": {"path": "/base"}, "models": models, **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "tise"}, "unknown merge method `tise`; did you mean `ties`"),
        ({"base": None}, "merges differences from a base model: name a base"),
        ({"models": []}, "models"),
        ({"parameters": {"lamda": 1}}, "no parameter `lamda`; did you mean `lambda`"),
        ({"parameters": {"density": 1.5}}, "`density` must be from 0 to 1, not 1.5"),
        ({"parameters": {"density": [0.5, -0.1]}}, "`density` must be from 0 to 1, not -0.1"),
        ({"parameters": {"lambda": float("nan")}}, "`lambda` must be a finite number, not nan"),
        ({"parameters": {"lambda": "big"}}, "`lambda` must be a finite number, not 'big'"),
        ({"parameters": {"lambda": True}}, "`lambda` must be a finite number, not True"),
        ({"parameters": {"normalize": 2}}, "`normalize` must be true or false, not 2"),
        ({"parameters": {"variant": "new"}}, "`variant` must be original or paper, not 'new'"),
        ({"models": [{"name": "a", "path": "/a"}]}, "model `a`: ties needs `weight`"),
        (
            {"method": "model_stock", "models": [{"name": "a", "path": "a"}]},
            "model_stock merges at least 2 models besides the base, not 1",
        ),
        (
            {"method": "passthrough", "base": None},
            "passthrough merges exactly 1 model, not 2",
        ),
        ({"files_from": "c"}, "files_from names no input: `c`"),
        ({"dtype": "int8"}, "dtype"),
        ({"surprise": 1}, "surprise"),
        (
            {"models": [{"name": "a", "path": "/a", "parameters": {"weight": 1, "lambda": 1}}]},
            "model `a`: `lambda` is for all models together",
        ),
        (
            {
                "models": [
                    {"name": "a", "path": f"/{i}", "parameters": {"weight": 1}} for i in (1, 2)
                ]
            },
            "two inputs have the name `a`",
        ),
    ],
)
def test_a_wrong_recipe_is_refused(changes: dict[str, Any], message: str) -> None:
    """The message names the item, what was required and what was seen."""
    with pytest.raises(SpecError, match=message):
        read_recipe(own(**changes))


def test_slerp_takes_two_models() -> None:
    """A third model is refused, not left out."""
    models = [{"name": n, "path": n, "parameters": {"weight": 1}} for n in "abc"]
    with pytest.raises(SpecError, match="slerp merges exactly 2 models, not 3"):
        read_recipe({"method": "slerp", "models": models})


def sliced(*slices: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a linear merge of slices of two models in our form."""
    models = [{"name": name, "path": name} for name in "ab"]
    content = {"method": "linear", "models": models, "slices": slices}
    return {**content, "parameters": {"weight": 1}, **changes}


def layers(*models: str) -> dict[str, Any]:
    """Return a slice of two layers of each model."""
    return {"sources": [{"model": model, "layers": [0, 2]} for model in models]}


def test_slices_call_models_by_name() -> None:
    """Without slices, a recipe is one slice of all layers of every input."""
    recipe = read_recipe(sliced(layers("a", "b"), layers("b")))
    assert [source.layers for part in recipe.parts for source in part.sources] == [(0, 2)] * 3
    whole = read_recipe(own())
    (part,) = whole.parts
    assert [(source.model, source.layers) for source in part.sources] == [
        ("base", None),
        ("a", None),
        ("b", None),
    ]
    assert whole.base_of(part) == "base"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (sliced(layers("a")), "no slice uses model `b`; remove it"),
        (sliced(layers("a", "c")), "slice 1 names no input: `c`"),
        (sliced(layers("a", "b", "a")), "slice 1: model `a` is given twice"),
        (sliced({**layers("a", "b"), "base": "a"}), "slice 1: linear does not use a base"),
        (sliced({**layers("a", "b"), "base": "c"}), "slice 1 names no input: `c`"),
        (sliced(layers("a", "b"), method="ties"), "slice 1: ties merges differences from a base"),
        (
            sliced(
                layers("a", "b"), method="slerp", models=[{"name": n, "path": n} for n in "abc"]
            ),
            "no slice uses model `c`",
        ),
        (
            sliced(layers("a"), layers("b"), method="slerp"),
            "slice 1: slerp merges exactly 2 models",
        ),
        (
            sliced(
                layers("a"),
                models=[{"name": "a", "path": "a", "parameters": {"weight": 1}}],
            ),
            "model `a`: with slices, parameters belong to the slices' sources",
        ),
        (own(method="linear"), "linear does not use a base; remove `base`"),
        (own(tokenizer={"tokens": {"x": {"source": "c"}}}), "tokenizer names no input: `c`"),
        (own(stages={"one": own()}), "stage `one` is used by nothing"),
        (own(stages={"one": own(stages={"two": own()})}), "stage `two` is used by nothing"),
        (
            own(
                base={"path": "one"},
                stages={"one": own(base={"path": "two"}), "two": own()},
            ),
            "stage `one` uses `two`, which is not made before it",
        ),
        (
            own(
                base={"path": "one"},
                stages={"one": own(base={"path": "two"}, stages={"two": own()})},
            ),
            "stage `one`: has stages of its own",
        ),
    ],
)
def test_a_wrong_recipe_of_slices_or_stages_is_refused(
    content: dict[str, Any], message: str
) -> None:
    """The message names the slice or the stage."""
    with pytest.raises(SpecError, match=message):
        read_recipe(content)


def test_a_stage_is_named_alone_or_before_an_adapter() -> None:
    """Its folder takes the place of the name, and the adapter stays."""
    folders = {"one": Path("/made/one")}
    assert [stage_of(text) for text in ("one", "one+lora", "org/one")] == ["one", "one", "org/one"]
    assert with_folder("one", folders) == "/made/one"
    assert with_folder("one+./lora", folders) == "/made/one+./lora"
    assert with_folder("org/one+lora", folders) == "org/one+lora"


def test_a_stage_comes_after_those_it_uses() -> None:
    """The order is the same in every process."""
    uses = {"c": ("b+x", "m"), "a": ("m",), "b": ("a", "a+y"), "d": ("c", "a")}
    assert in_order(uses) == ["a", "b", "c", "d"]


def test_a_circle_is_named() -> None:
    """Every stage in it, in order."""
    with pytest.raises(SpecError, match=r"`(a` uses `b` uses `a|b` uses `a` uses `b)`"):
        in_order({"a": ("b",), "b": ("a",)})
