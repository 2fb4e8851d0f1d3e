"""Recipes on disk, in our form and in mergekit's."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.errors import SpecError
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe, recipe_text

OWN: dict[str, Any] = {
    "method": "ties",
    "base": {"path": "/base"},
    "models": [
        {"name": "a", "path": "/a", "parameters": {"weight": [0, 0.5]}},
        {"name": "b", "path": "/b", "parameters": {"weight": 1, "density": 0.5}},
    ],
}
KIT: dict[str, Any] = {
    "merge_method": "ties",
    "base_model": "base",
    "models": [
        {"model": "a", "parameters": {"weight": 0.5}},
        {"model": "b", "parameters": {"weight": [0, 1], "density": 0.3}},
    ],
}
SLICED: dict[str, Any] = {
    "merge_method": "linear",
    "slices": [
        {"sources": [{"model": "a", "layer_range": [0, 2], "parameters": {"weight": 1}}]},
        {"sources": [{"model": "b", "layer_range": [1, 3]}], "parameters": {"weight": 0.5}},
    ],
    "tokenizer": {"source": "union", "tokens": {"<x>": {"source": "a"}}},
}


def test_a_recipe_reads_back_what_it_wrote(tmp_path: Path) -> None:
    """Filters, gradients and numbers survive the file unchanged."""
    rules = [{"filter": "mlp", "value": [0, 1e-05]}, {"value": 0.5}]
    settings = {"density": rules, "lambda": 0.1 + 0.2}
    recipe = read_recipe({**OWN, "parameters": settings, "dtype": "float16"})
    (tmp_path / "r.yml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "r.yml") == recipe


def test_everything_mergekit_can_say_has_a_form_of_ours(tmp_path: Path) -> None:
    """Slices, tokenizers and stages are read back from what a merge writes."""
    stage = {**SLICED, "name": "first", "chat_template": "auto"}
    final = {**KIT, "models": [{"model": "first+lora", "parameters": {"weight": 1}}]}
    (tmp_path / "kit.yml").write_text(yaml.safe_dump_all([stage, final]))
    recipe = read_recipe(tmp_path / "kit.yml")
    (tmp_path / "own.yml").write_text(recipe_text(recipe))
    assert read_recipe(tmp_path / "own.yml") == recipe
    assert recipe.stages["first"].slices[1].sources[0].layers == (1, 3)


def test_a_recipe_is_returned_as_it_is() -> None:
    """A recipe made in Python needs no file."""
    recipe = MergeRecipe.model_validate(OWN)
    assert read_recipe(recipe) is recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "a recipe is `key: value` lines"),
        ("", "a recipe is `key: value` lines"),
        ("a: 1\n---\n- 1", "a recipe is `key: value` lines"),
        ("method: ties\nmethod: linear", "line 2: the key `method` is given twice"),
        ("1: a", "line 1: a key must be text, not 1; quote it"),
        ("[1]: a", "line 1: a key must be text, not a collection"),
        ("a: !!python/object:os.system 1", "not valid YAML"),
        ("a: 1\n---\nb: 2", "2 documents could be the result"),
        ("[" * 1000, "not valid YAML"),
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
    text = yaml.safe_dump(KIT) + "parameters: {lambda: 1e-1}\n"
    (tmp_path / "r.yml").write_text(text)
    assert read_recipe(tmp_path / "r.yml").parameters == {"lambda": 0.1}


@pytest.mark.parametrize(
    ("word", "switch"), [("yes", True), ("On", True), ("no", False), ("off", False), ("1", True)]
)
def test_switches_of_older_yaml_are_switches(word: str, switch: bool, tmp_path: Path) -> None:
    """To mergekit's reader ``no`` is false; here it is where a parameter is a switch."""
    text = yaml.safe_dump(KIT) + f"parameters: {{normalize: {word}}}\n"
    (tmp_path / "r.yml").write_text(text)
    assert read_recipe(tmp_path / "r.yml").parameters == {"normalize": switch}


def test_words_that_older_yaml_takes_for_something_else_are_words(tmp_path: Path) -> None:
    """A model may be called ``no``; a number that would mean another one is refused."""
    text = "merge_method: passthrough\nmodels: [{model: no}]\n"
    (tmp_path / "r.yml").write_text(text)
    assert read_recipe(tmp_path / "r.yml").models[0].path == "no"
    (tmp_path / "r.yml").write_text(text + "parameters: {scale: 010}\n")
    with pytest.raises(SpecError, match=r"r\.yml: not valid YAML: line 3: `010` is octal"):
        read_recipe(tmp_path / "r.yml")


SECTIONS = ("method", "merge_method", "models", "model", "name", "path", "base", "base_model")
SLICES = ("slices", "sources", "layer_range", "layers", "stages", "tokenizer", "tokens", "source")
SETTINGS = ("parameters", "weight", "density", "t", "lambda", "dtype", "filter", "value")
WORDS = st.sampled_from(
    (*SECTIONS, *SLICES, *SETTINGS, "ties", "linear", "slerp", "bfloat16", "a", "b", "union")
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([OWN, KIT, SLICED]), st.dictionaries(WORDS, VALUES, max_size=4))
def test_any_content_is_a_recipe_or_a_clear_error(
    valid: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Whatever stands in the file, nothing but a recipe or a `SpecError` comes out."""
    for content in (changes, {**valid, **changes}):
        with suppress(SpecError):
            assert isinstance(read_recipe(content), MergeRecipe)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_recipe_with_one_part_replaced_is_a_recipe_or_a_clear_error(data: st.DataObject) -> None:
    """The same at any depth: one value somewhere is exchanged for anything."""
    content = _replaced(data.draw(st.sampled_from([OWN, KIT, SLICED])), data)
    with suppress(SpecError):
        assert isinstance(read_recipe(content if isinstance(content, dict) else {}), MergeRecipe)


def _replaced(content: Any, data: st.DataObject) -> Any:
    """Return a copy in which one value, at a place that is drawn, is another."""
    inner = isinstance(content, (dict, list)) and len(content) > 0
    if not inner or data.draw(st.integers(0, 4)) == 0:
        return data.draw(VALUES)
    if isinstance(content, dict):
        key = data.draw(st.sampled_from(sorted(content)))
        return {**content, key: _replaced(content[key], data)}
    place = data.draw(st.integers(0, len(content) - 1))
    return [_replaced(item, data) if i == place else item for i, item in enumerate(content)]
