"""A fourth axis is added to a study by YAML alone."""

import json
import re
from pathlib import Path

import pytest

import mixmerge
from mixmerge.files import write_rows
from mixmerge.records import Message, Prompt
from mixmerge.testbed.model import write_model

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text(encoding="utf-8")
NAMES = ["France", "Kenya", "Japan", "Norway", "Peru", "India", "Egypt", "Canada", "Ghana", "Chile"]
OPENINGS = {
    "en": ("What is the capital of", "Which river flows through"),
    "fr": ("Quelle est la capitale de", "Comment dit-on"),
}
AXIS = """
    courtesy:
      prompts: {files: FOLDER/prompts.jsonl}
      judge: {regex: "^(Of course|Bien sûr)"}
      measure: {mean: [0, 1]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The small study with one axis more, and a given model instead of its trainings."""
    write_model(tmp_path / "model")
    questions = [
        Prompt(
            id=f"{name}-{number}-{language}",
            cluster=f"{name}-{number}",
            language=language,
            messages=(Message(role="user", content=f"{text} {name}?"),),
        )
        for language, texts in OPENINGS.items()
        for number, text in enumerate(texts)
        for name in NAMES
    ]
    write_rows(tmp_path / "prompts.jsonl", questions)
    head, rest = SMALL.split("\ndata:")
    evaluate = rest.split("\nevaluate:")[1]
    for old, new in (
        ("  decide_on: [general, safety]\n", "  decide_on: [general, safety, courtesy]\n"),
        ("  baseline: [sft-15, dpo-15]\n", ""),
        ("max_new_tokens: 24", "max_new_tokens: 8"),
        ("  axes:", "  axes:" + AXIS.replace("FOLDER", str(tmp_path)).rstrip()),
    ):
        assert old in evaluate
        evaluate = evaluate.replace(old, new)
    checkpoints = f"checkpoints: {{given: {{model: {tmp_path / 'model'}}}}}"
    (tmp_path / "study.yaml").write_text(f"{head}\n{checkpoints}\nevaluate:{evaluate}")
    return tmp_path / "study.yaml"


def test_a_fourth_axis_is_yaml_alone(study: Path, tmp_path: Path) -> None:
    """Its prompts are answered, judged, compared and shown, though no line of code names it."""
    out = tmp_path / "run"
    assert mixmerge.run(study, out, workers=2) is not None
    found = json.loads((out / "results.json").read_text())
    assert set(found["axes"]) == {"general", "over_refusal", "safety", "courtesy"}
    (answers,) = out.glob("generate/given-*/courtesy.jsonl")
    texts = [json.loads(line)["text"] for line in answers.read_text().splitlines()]
    matching = [re.search("^(Of course|Bien sûr)", text) is not None for text in texts]
    assert len(matching) == 40
    assert 0 < sum(matching) < 40
    for model in ("base", "given"):
        own = found["models"][model]["axes"]["courtesy"]
        assert own["value"] == pytest.approx(sum(matching) / 40)
    compared = {(c["a"], c["b"], c["axis"]) for c in found["contrasts"]}
    assert ("given", "base", "courtesy") in compared
    report = (out / "report.html").read_text(encoding="utf-8")
    assert report.count("courtesy") > 5
