"""Tests of mixmerge.synthesis.spec: what the file may say, and how its errors read."""

import re
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.study.spec_file import parse_spec
from mixmerge.synthesis.filters import FILTERS
from mixmerge.synthesis.recipes import RECIPES
from mixmerge.synthesis.spec import GenerateDataSpec

_YAML = re.compile(r"^```yaml.*?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
START = """
seeds:
  risks: {files: seeds.jsonl, language: en, licence: CC0}
models:
  writer: {endpoint: "http://localhost:1/v1", model: m}
"""

JUDGE = "{endpoint: 'http://h', model: j, budget: 1, price: {input: 1, output: 1}}"


def read(text: str) -> GenerateDataSpec:
    return parse_spec(START + text, GenerateDataSpec, "data.yaml")


def test_steps_take_the_rows_before_them_unless_told() -> None:
    """The first step takes all seeds; what no step takes is the result."""
    spec = read(
        "steps:\n- rephrase: 2\n- translate: [hi]\n"
        "- {answer: safe, of: [rephrase, translate]}\n- {benign_twins: 1, of: risks}\n"
    )
    assert [step.of for step in spec.wired()] == [
        ("risks",),
        ("rephrase",),
        ("rephrase", "translate"),
        ("risks",),
    ]
    assert spec.final() == ("answer", "benign_twins")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: [{rephrse: 2}]", r"data.yaml, line 6: steps.0: a recipe has one of the keys"),
        ("steps:\n- rephrase: 2\n- rephrase: 3", r"line 8: steps.1.*`rephrase` is the name of"),
        ("steps:\n- {rephrase: 2, of: risk}", r"line 7: steps.0.of: there is no `risk`.*`risks`\?"),
        ("steps:\n- {answer: safe, model: x}", r"line 7: steps.0: there is no `x` in `models`"),
        ("steps: [{contrast: unsafe}]", r"`contrast` reads rows of the kind messages; `risks` has"),
        ("steps: [{rephrase: 0}]", r"line 6: steps.0.rephrase: must be greater than or equal to 1"),
        (
            "steps: [{answer: safe, samples: 2, temperature: 0}]",
            r"several `samples` at temperature 0 would all be the same",
        ),
        ("steps: [{rephrase: 1}]\nbudget: 5", r"line 5: models.writer: `budget` needs the `price"),
        (
            f"steps: [{{answer: safe}}, {{pairs: {{judge: {JUDGE}}}}}]",
            r"steps.1.pairs.judge.budget: is one for all calls of this file: give it at the top",
        ),
        (
            "steps: [{answer: safe, model: writer, models: [writer]}]",
            r"give `model` or `models`, not",
        ),
        (
            "steps: [{answer: safe}, {pairs: {judge: {human: labels}}}]",
            r"people and code cannot judge here",
        ),
        ("steps: [{rephrase: 1}]\noutput: [rephrased]", r"`rephrased` in `seeds and steps`"),
    ],
)
def test_errors_give_the_line_and_what_to_do(text: str, said: str) -> None:
    """Each mistake names its place, what was required, and the nearest right name."""
    with pytest.raises(SpecError, match=said):
        read(text)


def test_a_model_must_be_named_among_several() -> None:
    """With one model a step need not name it; with two it must."""
    one = read("steps: [{rephrase: 1}]")
    assert one.wired()[0].asked_models() == ("writer",)
    back = read("steps: [{translate: [hi], back_translation: {chrf: 1, model: writer}}]")
    assert back.wired()[0].asked_models() == ("writer", "writer")
    text = (START + "  other: {folder: checkpoints/a}\nsteps: [{rephrase: 1}]").strip()
    with pytest.raises(SpecError, match="`model` is required, since there are 2 in `models`"):
        parse_spec(text, GenerateDataSpec, "data.yaml")


def test_the_example_of_the_page_is_valid() -> None:
    """docs/generate_data.md shows a whole file, and names every recipe and filter that there is."""
    page = (Path(__file__).parents[2] / "docs/generate_data.md").read_text(encoding="utf-8")
    example = next(block["body"] for block in re.finditer(_YAML, page))
    spec = parse_spec(example, GenerateDataSpec, "data.yaml")
    assert spec.final() == ("chosen", "over_refusal")
    missing = [key for key in (*RECIPES, *FILTERS) if not re.search(rf"`\{{?{key}\b", page)]
    assert missing == []


def test_a_source_must_state_its_licence() -> None:
    """Rows carry it, so it cannot be left out by oversight."""
    text = START.replace(", licence: CC0", "") + "steps: [{rephrase: 1}]"
    with pytest.raises(SpecError, match=r"line 3: seeds.risks.licence: this key is required"):
        parse_spec(text, GenerateDataSpec, "data.yaml")
