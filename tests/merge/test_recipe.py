"""Recipes: what is valid, in our form and in mergekit's."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.errors import SpecError
from mixmerge.merge.recipe import MergeRecipe
from mixmerge.merge.recipe_file import read_recipe, recipe_text


def own(**changes: Any) -> dict[str, Any]:
    """Return a valid recipe in our form, with changes."""
    models = [
        {"name": "a", "path": "/a", "parameters": {"weight": [0, 0.5]}},
        {"name": "b", "path": "/b", "parameters": {"weight": 1, "density": 0.5}},
    ]
    return {"method": "ties", "base": {"path": "/base"}, "models": models, **changes}


def kit(**changes: Any) -> dict[str, Any]:
    """Return a valid recipe in mergekit's form, with changes; None removes a key."""
    recipe = {
        "merge_method": "ties",
        "base_model": "base",
        "models": [
            {"model": "a", "parameters": {"weight": 0.5}},
            {"model": "b", "parameters": {"weight": [0, 1], "density": 0.3}},
        ],
        "parameters": {"normalize": True, "int8_mask": True},
        "dtype": "bfloat16",
        **changes,
    }
    return {key: value for key, value in recipe.items() if value is not None}


def test_a_recipe_reads_back_what_it_wrote(tmp_path: Path) -> None:
    """Filters, gradients and numbers survive the file unchanged."""
    rules = [{"filter": "mlp", "value": [0, 1e-05]}, {"value": 0.5}]
    recipe = read_recipe(own(parameters={"density": rules, "lambda": 0.1 + 0.2}, dtype="float16"))
    (tmp_path / "r.yml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "r.yml") == recipe


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
    with pytest.raises(SpecError, match="slerp merges exactly 2 models beside the base, not 3"):
        read_recipe({"method": "slerp", "models": models})


def test_mergekit_is_translated() -> None:
    """Models keep their order and settings; the base is apart; int8_mask has no effect."""
    recipe = read_recipe(kit())
    assert recipe.method == "ties"
    assert [model.name for model in recipe.models] == ["a", "b"]
    assert recipe.base is not None
    assert recipe.base.path == "base"
    assert recipe.models[1].parameters == {"weight": (0, 1), "density": 0.3}
    assert recipe.parameters == {"normalize": True}
    assert recipe.dtype == "bfloat16"
    assert recipe.donor.name == "base"


def test_a_listed_base_is_no_model_of_a_task_vector_method() -> None:
    """Recipes often list the base without parameters; its task vector is zero."""
    models = [{"model": "base"}, {"model": "a", "parameters": {"weight": 1}}]
    recipe = read_recipe(kit(models=models))
    assert [model.name for model in recipe.models] == ["a"]


def test_linear_counts_an_unlisted_base_as_an_input() -> None:
    """As in mergekit, where linear then asks for its weight."""
    with pytest.raises(SpecError, match="model `base`: linear needs `weight`"):
        read_recipe(
            kit(merge_method="linear", models=[{"model": "a", "parameters": {"weight": 1}}])
        )
    shared = kit(merge_method="linear", models=[{"model": "a"}], parameters={"weight": 1})
    recipe = read_recipe(shared)
    assert [model.name for model in recipe.models] == ["a", "base"]
    assert recipe.donor.name == "base"


def test_slerp_is_named_by_model() -> None:
    """``t`` counts from base_model, wherever it is listed; filters and gradients are kept."""
    t = [{"filter": "mlp", "value": [0, 0.25]}, {"value": 0.5}]
    models = [{"model": "other"}, {"model": "base"}]
    recipe = read_recipe(kit(merge_method="slerp", models=models, parameters={"t": t}))
    first, second = recipe.models
    assert (first.name, second.name) == ("base", "other")
    weights = [
        [rule.model_dump()["value"] for rule in model.parameters["weight"]]  # type: ignore[union-attr]
        for model in recipe.models
    ]
    assert weights == [[(1, 0.75), 0.5], [(0, 0.25), 0.5]]
    assert recipe.base is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merge_method": "passthrough"}, "unknown method 'passthrough'"),
        ({"merge_method": None}, "merge_method: unknown method None"),
        ({"slices": []}, "`slices` is not supported yet"),
        ({"tokenizer_source": "union"}, "`tokenizer_source` is not supported yet"),
        ({"parameter": {}}, "unknown key `parameter`; did you mean `parameters`"),
        ({"models": None}, "a list of models is required"),
        ({"models": ["a"]}, "each entry needs `model: FOLDER`, not 'a'"),
        ({"models": [{"model": "a", "weight": 1}]}, "model a: unknown key `weight`"),
        ({"models": [{"model": "a+lora"}]}, "`a\\+lora` \\(model \\+ adapter\\) is not supported"),
        ({"models": [{"model": {"path": "a"}}]}, "must be a folder"),
        ({"models": [{"model": "base", "parameters": {"weight": 1}}]}, "have no effect; remove"),
        ({"parameters": [1]}, "`name: value` pairs"),
        ({"parameters": {"t": 0.5}}, "ties has no parameter `t`"),
        ({"out_dtype": "float8"}, "dtype"),
        ({"merge_method": "slerp", "parameters": {}}, "exactly one other model"),
        (
            {"merge_method": "slerp", "models": [{"model": "a"}], "parameters": {}},
            "slerp: needs `t`",
        ),
        (
            {"merge_method": "slerp", "models": [{"model": "a"}], "parameters": {"t": "x"}},
            "`t` must be made of numbers, not 'x'",
        ),
        (
            {
                "merge_method": "slerp",
                "models": [{"model": "a", "parameters": {"t": 1}}],
                "parameters": {"t": 1},
            },
            "slerp: `t` has no place here",
        ),
    ],
)
def test_what_mergekit_recipes_may_not_say_is_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    """Nothing in a recipe is ignored."""
    with pytest.raises(SpecError, match=message):
        read_recipe(kit(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not a YAML recipe"),
        ("- 1", "a recipe is `key: value` lines"),
        ("", "a recipe is `key: value` lines"),
        ("method: ties\nmethod: linear", "line 2: `method` is given twice"),
        ("1: a", "line 1: 1 is not a name"),
        ("[1]: a", "line 1: .* is not a name"),
        ("a: !!python/object:os.system 1", "not a YAML recipe"),
        ("a: 1\n---\nb: 2", "not a YAML recipe"),
        ("[" * 1000, "not a YAML recipe"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file."""
    file = tmp_path / "r.yml"
    file.write_text(text)
    with pytest.raises(SpecError, match=rf"r\.yml: .*{message}"):
        read_recipe(file)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    """A recipe must be a file."""
    with pytest.raises(SpecError, match="no such file"):
        read_recipe(tmp_path / "r.yml")
    with pytest.raises(SpecError, match="is a folder"):
        read_recipe(tmp_path)


def test_numbers_with_exponents_are_numbers(tmp_path: Path) -> None:
    """``1e-1`` is a number, though YAML 1.1 reads it as a word."""
    content = kit(parameters=None)
    text = yaml.safe_dump(content) + "parameters: {lambda: 1e-1}\n"
    (tmp_path / "r.yml").write_text(text)
    assert read_recipe(tmp_path / "r.yml").parameters == {"lambda": 0.1}


SECTIONS = ("method", "merge_method", "models", "model", "name", "path", "base", "base_model")
SETTINGS = ("parameters", "weight", "density", "t", "lambda", "dtype", "filter", "value")
WORDS = st.sampled_from((*SECTIONS, *SETTINGS, "ties", "linear", "slerp", "bfloat16", "a", "b"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([own(), kit()]), st.dictionaries(WORDS, VALUES, max_size=4))
def test_any_content_is_a_recipe_or_a_clear_error(
    valid: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Whatever stands in the file, nothing but a recipe or a `SpecError` comes out."""
    for content in (changes, {**valid, **changes}):
        with suppress(SpecError):
            assert isinstance(read_recipe(content), MergeRecipe)


def test_a_recipe_is_returned_as_it_is() -> None:
    """A recipe made in Python needs no file."""
    recipe = MergeRecipe.model_validate(own())
    assert read_recipe(recipe) is recipe
