"""Axes with the same prompts share their answers, such as one for the language of the answers."""

import json
from pathlib import Path

import mixmerge
from mixmerge.study.run import prepare

STUDY = """
base: testbed
languages: [en, es]
checkpoints: {other: testbed/cliff}
evaluate:
  axes:
    useful: {prompts: &asked {files: PROMPTS}, judge: {regex: "^.{20}"}, measure: {rate: long}}
    confusion:
      prompts: *asked
      judge: {language: prompt, among: [en, es, fr]}
      measure: {rate: wrong-language}
      better: lower
  decoding: {max_new_tokens: 12}
  draws: 1000
"""
QUESTIONS = {"en": "What is the capital of {}?", "es": "¿Cuál es la capital de {}?"}


def prompts(folder: Path) -> Path:
    """Questions in two languages, of which a base model of English and Spanish knows some."""
    names = ["France", "Kenya", "Japan", "Norway", "Peru", "India", "Egypt", "Canada", "Chile"]
    rows = [
        {
            "prompt": text.format(name),
            "cluster": name + mark,
            "language": language,
            "id": name + mark,
        }
        for language, text in QUESTIONS.items()
        for mark in ("", "!")
        for name in names
    ]
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_answers_are_generated_once(tmp_path: Path) -> None:
    """An axis for the language of answers judges those that are there; adding it asks no model."""
    whole = STUDY.replace("PROMPTS", str(prompts(tmp_path)))
    file = tmp_path / "study.yaml"
    before = whole.split("    confusion:")[0].replace("&asked ", "") + "  draws: 1000\n"
    before += "  decoding: {max_new_tokens: 12}\n"
    found = []
    for text in (before, whole):
        file.write_text(text, encoding="utf-8")
        steps = {step.id: step for step in prepare(file, tmp_path / "run").steps}
        found.append(steps["generate/other"])
    assert found[0] == found[1]
    finished = mixmerge.run(file, tmp_path / "run")
    assert finished is not None
    (answers,) = (tmp_path / "run").glob("generate/other-*/*.jsonl")
    assert answers.stem == "useful"
    (judged,) = (tmp_path / "run").glob("judge/other-*/confusion.jsonl")
    verdicts = [json.loads(line) for line in judged.read_text().splitlines()]
    assert len(verdicts) == 36
    wrong = [row["outcome"] for row in verdicts]
    own = finished.results.models["other"].axes["confusion"]
    assert own.value == wrong.count("yes") / (wrong.count("yes") + wrong.count("no"))
    assert finished.results.axes["confusion"].better == "lower"
