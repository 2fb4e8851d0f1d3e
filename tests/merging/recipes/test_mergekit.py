"""mergekit's YAML: what it means in our form, and what is refused."""

from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import from_documents, read_recipe
from mixmerge.merging.recipes.sections import ModelTokenRow, Rule, Setting, ZeroRow


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


def sliced(*slices: dict[str, Any], method: str = "linear", **more: Any) -> MergeRecipe:
    """Return a recipe of slices."""
    return read_recipe({"merge_method": method, "slices": list(slices), **more})


def rules_of(setting: Setting) -> list[tuple[Any, Any]]:
    """Return the filter and the value of each rule."""
    assert isinstance(setting, tuple)
    return [(rule.filter, rule.value) for rule in setting if isinstance(rule, Rule)]


def layers(model: str, low: int, high: int, **parameters: Any) -> dict[str, Any]:
    """Return a source of a slice."""
    return {"model": model, "layer_range": [low, high], "parameters": parameters}


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
        ({"merge_method": "swap"}, "unknown method 'swap'"),
        ({"merge_method": None}, "merge_method: unknown method None"),
        ({"merge_method": "tise"}, "unknown method 'tise'; did you mean `ties`"),
        ({"slices": []}, "either `models` or `slices`, and not both"),
        ({"modules": {}}, "`modules`: parts of a model cannot have recipes of their own"),
        ({"parameter": {}}, "unknown key `parameter`; did you mean `parameters`"),
        ({"models": None}, "either `models` or `slices`"),
        ({"models": []}, "models: must be a list with at least one entry"),
        ({"models": [{"model": "a"}] * 2}, "two inputs have the name `a`"),
        ({"models": ["a"]}, "each entry needs `model: FOLDER`, not 'a'"),
        (
            {"models": [{"model": "a", "weight": 1}]},
            "ties needs `weight`, .* Left out: model a: `weight` has no effect here; it belongs",
        ),
        (
            {"models": [{"model": "a", "parameters": {"variant": "paper", "weight": 1}}]},
            "`variant` is for all models together",
        ),
        ({"parameters": {"lamda": 1}}, "parameters: ties has no parameter `lamda`; did you mean"),
        ({"models": [{"model": "base", "parameters": {"wight": 1}}]}, "no parameter `wight`"),
        (
            {"merge_method": "slerp", "models": [{"model": "a", "parameters": {"t": 1}}]},
            "slerp: needs `t` in the `parameters` of the recipe or of a slice",
        ),
        ({"models": [{"model": "a"}] * 3, "merge_method": "passthrough"}, "has no base, and base"),
        ({"models": [{"model": 7}]}, "models: model: must be a folder, or a hub name, not 7"),
        ({"models": [{"model": {"pth": "a"}}]}, "must be a folder"),
        (
            {"base_model": {"model": {"path": "a"}, "override_architecture": "X"}},
            "base_model: `override_architecture`: the architecture is what config",
        ),
        ({"parameters": [1]}, "`name: value` pairs"),
        ({"parameters": {"lambda": None}}, "parameters: `lambda`: .*one value or a list"),
        ({"parameters": {"lambda": "1e"}}, "`lambda` must be a finite number, not '1e'"),
        ({"parameters": {"normalize": "maybe"}}, "`normalize` must be true or false, not 'maybe'"),
        ({"chat_template": 1}, "chat_template"),
        ({"tokenizer_source": "base", "tokenizer": {"source": "a"}}, "say the same; keep one"),
        ({"tokenizer": "union"}, "tokenizer: must be `key: value` lines"),
        ({"tokenizer": {"surce": "union"}}, "unknown key `surce`; did you mean `source`"),
        ({"tokenizer": {"tokens": ["x"]}}, "`tokens` must be `token: rule` lines"),
        ({"tokenizer": {"tokens": {"x": "a"}}}, "token 'x': must be `source` and `force`"),
        ({"tokenizer": {"tokens": {"x": {"source": "c"}}}}, "tokenizer names no input: `c`"),
        (
            {"tokenizer": {"tokens": {"x": {"source": {"kind": "one"}}}}},
            "`kind` must be zero or model_token",
        ),
        (
            {"tokenizer": {"tokens": {"x": {"source": {"kind": "model_token", "model": "a"}}}}},
            "either `token` or `token_id`, and not both",
        ),
        ({"tokenizer": {"tokens": {"x": {"force": True}}}}, "`force` needs a `source`"),
        ({"tokenizer": {"pad_to_multiple_of": 0}}, "greater than or equal to 1"),
        ({"out_dtype": "float8"}, "dtype"),
        ({"merge_method": "slerp", "parameters": {}}, "exactly one other model"),
        (
            {"merge_method": "slerp", "models": [{"model": "a"}], "parameters": {}},
            "slerp: needs `t`",
        ),
        (
            {"merge_method": "slerp", "models": [{"model": "a"}], "parameters": {"t": "x"}},
            "`t` must be a finite number, not 'x'",
        ),
    ],
)
def test_what_mergekit_recipes_may_not_say_is_refused_by_name(
    changes: dict[str, Any], message: str
) -> None:
    """What nobody knows, and what cannot be carried out, is never ignored."""
    with pytest.raises(SpecError, match=message):
        read_recipe(kit(**changes))


def test_slices_keep_their_layers_and_levels() -> None:
    """Parameters stay at the source, the slice or the recipe where they were written."""
    first = {"sources": [layers("a", 0, 2, weight=1), layers("b", 1, 3, weight=0.5)]}
    second = {"sources": [layers("b", 0, 4)], "parameters": {"weight": 2, "normalize": False}}
    recipe = sliced(first, second, parameters={"weight": 3})
    assert [model.name for model in recipe.models] == ["a", "b"]
    assert [source.layers for part in recipe.slices for source in part.sources] == [
        (0, 2),
        (1, 3),
        (0, 4),
    ]
    assert recipe.slices[0].sources[1].parameters == {"weight": 0.5}
    assert recipe.slices[1].parameters == {"weight": 2, "normalize": False}
    assert recipe.parameters == {"weight": 3}
    assert recipe.donor.name == "a"


def test_a_slice_may_have_its_own_base() -> None:
    """The base is one of the slice's sources; elsewhere the recipe's base counts."""
    own = {"sources": [layers("a", 0, 2), layers("b", 0, 2, weight=1)], "base_model": "a"}
    other = {"sources": [layers("base", 2, 4), layers("a", 2, 4, weight=1)]}
    recipe = sliced(own, other, method="task_arithmetic", base_model="base")
    assert [recipe.base_of(part) for part in recipe.slices] == ["a", "base"]
    assert recipe.base is not None
    assert [model.name for model in recipe.inputs] == ["base", "a", "b"]


def test_slerp_of_slices_counts_from_each_slices_base() -> None:
    """A slice's ``t`` comes before the recipe's, also where it has rules for some tensors only."""
    rules = [{"filter": "mlp", "value": 0.25}]
    first = {"sources": [layers("a", 0, 2), layers("b", 0, 2)], "parameters": {"t": rules}}
    second = {"sources": [layers("a", 2, 4), layers("b", 2, 4)], "base_model": "b"}
    recipe = sliced(first, second, method="slerp", base_model="a", parameters={"t": [0, 1]})
    assert recipe.parameters == recipe.slices[0].parameters == {}
    (a, b), (b2, a2) = (part.sources for part in recipe.slices)
    assert (a.model, b.model, a2.model, b2.model) == ("a", "b", "a", "b")
    assert rules_of(b.parameters["weight"]) == [("mlp", 0.25), (None, (0, 1))]
    assert rules_of(a.parameters["weight"]) == [("mlp", 0.75), (None, (1, 0))]
    assert a2.parameters == {"weight": (0, 1)}
    assert b2.parameters == {"weight": (1.0, 0.0)}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({}, "slice 1: needs `sources`"),
        ({"sources": []}, "slice 1: sources: must be a list"),
        ({"sources": [{"model": "a"}]}, "slice 1: model a needs `layer_range"),
        ({"sources": [layers("a", 2, 2)]}, "slice 1: layers run from the first .*, not 2 to 2"),
        ({"sources": [layers("a", -1, 2)]}, "greater than or equal to 0"),
        (
            {"sources": [layers("a", 0, 2), layers("b", 0, 3)]},
            "slice 1: all sources must have the same number of layers, not 0 to 2, 0 to 3",
        ),
        ({"sources": [layers("a", 0, 2)] * 2}, "slice 1: model `a` is given twice"),
        (
            {"sources": [layers("a", 0, 2, wieght=1)]},
            "model a: parameters: linear has no parameter `wieght`; did you mean `weight`",
        ),
        ({"sources": [layers("a", 0, 2)], "source": []}, "unknown key `source`; did you mean"),
        ({"sources": [layers("a", 0, 2)]}, "slice 1: model `a`: linear needs `weight`"),
    ],
)
def test_a_wrong_slice_is_refused(part: dict[str, Any], message: str) -> None:
    """The message says which slice it is."""
    with pytest.raises(SpecError, match=message):
        sliced(part)


def test_the_base_of_a_slice_must_be_among_its_sources() -> None:
    """Else nobody could tell which of its layers to take."""
    with pytest.raises(SpecError, match="slice 1: the base `base` must be among the sources"):
        sliced({"sources": [layers("a", 0, 2, weight=1)]}, method="ties", base_model="base")


def test_references_are_kept_as_text() -> None:
    """Hub names, revisions and adapters; mergekit's mappings say the same."""
    mapping = {"model": {"path": "org/m", "revision": "v1"}, "lora": {"path": "org/l"}}
    models = [{"model": "org/n+./adapter", "parameters": {"weight": 1}}]
    recipe = read_recipe(kit(base_model=mapping, models=models))
    assert [model.path for model in recipe.inputs] == ["org/m@v1+org/l", "org/n+./adapter"]


def test_values_may_be_written_as_loosely_as_in_mergekit() -> None:
    """Numbers as words, one and zero for true and false, one rule without a list."""
    loose = {"lambda": ["1e-1", "0.5"], "normalize": 0.0, "rescale": "Yes"}
    rule = {"filter": "mlp", "value": 0.5}
    models = [{"model": "a", "parameters": {"weight": "1", "density": rule}}]
    recipe = read_recipe(kit(parameters=loose, models=models))
    assert recipe.parameters == {"lambda": (0.1, 0.5), "normalize": False, "rescale": True}
    assert recipe.models[0].parameters["weight"] == 1
    assert rules_of(recipe.models[0].parameters["density"]) == [("mlp", 0.5)]


def test_tokenizers_are_read_in_both_forms() -> None:
    """``tokenizer_source`` is the short form; a section's source is the union by default."""
    short = read_recipe(kit(tokenizer_source="base")).tokenizer
    assert short is not None
    assert (short.source, short.tokens) == ("base", {})
    tokens = {
        "<a>": {"source": "a", "force": True},
        "<b>": {"source": {"kind": "zero"}},
        "<c>": {"source": {"kind": "model_token", "model": {"model": {"path": "b"}}, "token": "x"}},
        "<d>": {},
    }
    full = read_recipe(kit(tokenizer={"tokens": tokens, "pad_to_multiple_of": 64})).tokenizer
    assert full is not None
    assert (full.source, full.pad_to_multiple_of) == ("union", 64)
    assert (full.tokens["<a>"].source, full.tokens["<a>"].force) == ("a", True)
    assert isinstance(full.tokens["<b>"].source, ZeroRow)
    assert full.tokens["<c>"].source == ModelTokenRow(kind="model_token", model="b", token="x")
    assert full.tokens["<d>"].source is None


def test_an_unlisted_base_is_one_more_model_where_a_method_has_no_base() -> None:
    """As in mergekit, and said, since nothing in the recipe would tell."""
    recipe = read_recipe(kit(merge_method="karcher", models=[{"model": "a"}], parameters=None))
    assert [model.name for model in recipe.models] == ["a", "base"]
    assert recipe.base is None
    assert recipe.notes == (
        "base_model: base is merged as one more model, since karcher has no base",
    )


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "dare_linear", "sce", "ram"])
@pytest.mark.parametrize("weight", [{"weight": 0.5}, {}])
def test_a_base_that_is_the_only_model_is_the_result(method: str, weight: dict[str, Any]) -> None:
    """It is merged with itself, whose difference is zero, in `models` as in `slices`."""
    whole = read_recipe(
        kit(merge_method=method, models=[{"model": "base", "parameters": weight}], parameters=None)
    )
    part = {"sources": [layers("base", 0, 2, **weight)]}
    mixed = {"sources": [layers("base", 0, 2), layers("a", 0, 2, weight=1)]}
    parts = sliced(part, mixed, method=method, base_model="base")
    for recipe in (whole, parts):
        assert recipe.base is not None
        assert recipe.models[0].path == recipe.base.path == "base"
        assert f"the base is the only model, so {method} gives the base itself" in str(recipe.notes)
    assert [len(part.sources) for part in parts.slices] == [2, 2]


@pytest.mark.parametrize("method", ["model_stock", "nearswap"])
def test_methods_of_a_fixed_number_of_models_need_them(method: str) -> None:
    """Mergekit refuses these as well."""
    with pytest.raises(SpecError, match=f"models: {method} needs at least one model besides"):
        read_recipe(kit(merge_method=method, models=[{"model": "base"}], parameters={"t": 1}))


@pytest.mark.parametrize(
    ("file", "program"),
    [
        ({"base_model": "a", "gate_mode": "hidden", "experts": []}, "mergekit-moe .it has `exper"),
        ({"base_model": "a", "model": "b", "max_rank": 32}, "mergekit-extract-lora"),
        ({"genome": {"models": ["a"]}, "tasks": []}, "mergekit-evolve"),
        ({"layer_slices": []}, "bakllama"),
    ],
)
def test_a_file_of_another_program_is_recognised(file: dict[str, Any], program: str) -> None:
    """What it is for is said, and not that its first key is unknown."""
    with pytest.raises(SpecError, match=f"this is a file of {program}"):
        read_recipe(file)


def test_a_base_of_slices_may_be_none_of_their_sources() -> None:
    """It gives configuration and tokenizer, as in mergekit."""
    part = {"sources": [layers("a", 0, 2)]}
    recipe = sliced(part, method="passthrough", base_model="base")
    assert recipe.donor.name == "base"
    assert [source.model for source in recipe.slices[0].sources] == ["a"]


def stage(name: str | None, *models: str) -> dict[str, Any]:
    """Return one document: a linear merge of models."""
    entries = [{"model": model, "parameters": {"weight": 1}} for model in models]
    return {
        **({"name": name} if name else {}),
        "merge_method": "linear",
        "models": entries,
    }


def test_documents_are_put_in_order() -> None:
    """The one without a name is the result; the others come before their use."""
    recipe = from_documents([stage(None, "two+lora", "m"), stage("two", "one"), stage("one", "m")])
    assert list(recipe.stages) == ["one", "two"]
    assert [model.path for model in recipe.models] == ["two+lora", "m"]
    assert recipe.stages["two"].models[0].path == "one"


def test_where_all_have_names_the_result_is_what_no_other_uses() -> None:
    """Older files of mergekit name the last document as well."""
    recipe = from_documents([stage("one", "m"), stage("two", "one", "n")])
    assert list(recipe.stages) == ["one"]
    assert [model.path for model in recipe.models] == ["one", "n"]


def test_a_tokenizer_may_be_that_of_a_stage() -> None:
    """It is a use of the stage like any other."""
    final = {**stage(None, "m"), "tokenizer_source": "one"}
    assert list(from_documents([stage("one", "m"), final]).stages) == ["one"]


def test_a_name_alone_changes_nothing() -> None:
    """A single document may keep the name that it had among others."""
    assert from_documents([stage("one", "m")]) == from_documents([stage(None, "m")])


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        (
            [stage("a", "b"), stage("b", "a"), stage(None, "a")],
            "in a circle: `[ab]` uses",
        ),
        ([stage("a", "a"), stage(None, "a")], "in a circle: `a` uses `a`"),
        ([stage("a", "m"), stage("a", "m"), stage(None, "a")], "no other document has, not 'a'"),
        ([stage("a", "m"), stage("b", "m")], "2 documents could be the result"),
        ([stage(None, "m"), stage(None, "m")], "2 documents could be the result"),
        ([stage("a", "m"), stage(None, "m")], "stage `a` is used by nothing"),
        ([stage("a/b", "m"), stage(None, "a/b")], "stage `a/b`: a name has at most"),
        ([{**stage("a", "m"), "name": 1}, stage(None, "m")], "name: must be a word"),
        ([{**stage("a", "m"), "modls": 1}, stage(None, "a")], "document `a`: .*`modls`"),
    ],
)
def test_documents_that_do_not_fit_together_are_refused(
    documents: list[dict[str, Any]], message: str
) -> None:
    """Circles, double names and stages without a use are named."""
    with pytest.raises((SpecError, ValueError), match=message):
        from_documents(documents)
