"""Recipes are found in files of many kinds, with the models they need."""

import tarfile
from pathlib import Path

from benchmarks.examples import Example, Outcome, markdown, read_examples

STAGED = """
name: first
merge_method: slerp
base_model: org/a
slices:
  - sources:
      - {model: org/a, layer_range: [0, 6]}
      - model: org/b
        layer_range:
          - 0
          - 8
---
merge_method: linear
models:
  - model: first
  - model: org/c
"""


def test_recipes_are_found_in_yaml_markdown_folders_and_archives(tmp_path: Path) -> None:
    """Every block that says a merge method counts, and other YAML does not."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "b.yml").write_text("merge_method: linear\nmodels: []\n")
    (folder / "other.yaml").write_text("colour: blue\n")
    blocks = ["merge_method: ties", "tokenizer: union", "merge_method: slerp"]
    (folder / "a.md").write_text("\n".join(f"text\n```yaml\n{block}\n```" for block in blocks))
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as archive:
        archive.add(folder, "source")
    expected = ["a.md 1", "a.md 2", "b.yml"]
    assert [example.name for example in read_examples([folder])] == expected
    assert [example.name for example in read_examples([tmp_path / "source.tar.gz"])] == expected


def test_an_example_knows_its_models() -> None:
    """Results of stages are no models, and the longest slice gives the layers."""
    example = Example("x", STAGED)
    assert example.models == ["org/a", "org/b", "org/c"]
    assert example.layers == 8
    assert example.staged
    single = Example("y", "merge_method: linear\nmodels: [{model: m}]")
    assert (single.staged, single.layers) == (False, 4)


def test_the_table_says_what_passed() -> None:
    """An example passes, or its program's complaint stands in its place."""
    table = markdown([Outcome("x.yml", "ties", "", "no such thing"), Outcome("y", "slerp", ulp=2)])
    assert "| x.yml | ties | passes | no such thing |  |" in table
    assert "| y | slerp | passes | passes | 2 |" in table
