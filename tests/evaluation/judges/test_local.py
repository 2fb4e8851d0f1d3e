"""A judge model on this machine: what it finds likeliest, and when it has nothing to say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.judges.cases import COMPARED, GRADED, HARMFUL, REFUSED, items, outcomes

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges import word_choice
from mixmerge.evaluation.judges.local import LocalJudge, LocalJudgeSpec
from mixmerge.evaluation.judges.rubric import load_rubric
from mixmerge.evaluation.judges.word_choice import choice, probabilities
from mixmerge.evaluation.loaded_model import LoadedModel


@pytest.fixture(scope="module")
def judge_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tiny model that can read whole rubrics; read only."""
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("judge") / "judge")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    return folder


def judge(model: Path, folder: Path, **settings: Any) -> LocalJudge:
    return LocalJudge(LocalJudgeSpec(local=str(model), **settings), folder / "calls.jsonl")


def test_the_likeliest_word_is_the_verdict(judge_model: Path, tmp_path: Path) -> None:
    """Each order is asked for itself, and seen from the model under evaluation."""
    asked = items("good", "same", base=("bad", "same"))
    verdicts = judge(judge_model, tmp_path, least_mass=0).judge(asked, COMPARED)
    rubric, loaded = load_rubric("comparison-brief@1"), LoadedModel(judge_model)
    expected = []
    for first, second in (("good", "bad"), ("bad", "good")):
        fields = {"answer_a": first, "answer_b": second}
        text = rubric.fill({"prompt": "question 0", "language": "en", **fields})
        (chances,) = probabilities(loaded, [choice(loaded, text, rubric.words)])
        expected.append(dict(zip(rubric.words, chances, strict=True)))
    seen = [max(chances, key=lambda word: chances[word]) for chances in expected]
    named = [
        {"A": "win", "B": "loss", "TIE": "tie"}[seen[0]],
        {"A": "loss", "B": "win", "TIE": "tie"}[seen[1]],
    ]
    assert [(v.prompt, v.order, v.outcome) for v in verdicts] == [
        ("q0", "model-first", named[0]),
        ("q0", "base-first", named[1]),
        ("q1", None, "tie"),
    ]
    assert all(f"{word} {expected[0][word]:.3f}" in verdicts[0].reason for word in rubric.words)
    assert verdicts[2].reason == "identical"


def test_a_model_that_would_say_something_else_has_no_verdict(
    judge_model: Path, tmp_path: Path
) -> None:
    """A random model gives the offered words little probability: unreadable, not a guess."""
    asked = items("x", "y")
    verdicts = judge(judge_model, tmp_path).judge(asked, HARMFUL)
    assert [v.outcome for v in verdicts] == ["unreadable", "unreadable"]
    assert "together below 0.5" in verdicts[0].reason
    decided = judge(judge_model, tmp_path, least_mass=0).judge(asked, HARMFUL)
    assert {v.outcome for v in decided} <= {"yes", "no"}


def test_a_text_that_does_not_fit_is_counted_as_missing(judge_model: Path, tmp_path: Path) -> None:
    """One over-long answer costs one verdict, with its reason, and no other."""
    asked = items("x" * 5000, "y")
    verdicts = judge(judge_model, tmp_path, least_mass=0).judge(asked, HARMFUL)
    assert verdicts[0].outcome == "unreadable"
    assert "longer than the judge's context" in verdicts[0].reason
    assert verdicts[1].outcome in {"yes", "no"}


def test_nothing_is_judged_twice(
    judge_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption only missing texts are read; batches of another size agree."""
    asked = items("a", "b", "c", "d", "e")
    whole = judge(judge_model, tmp_path / "whole", least_mass=0, batch_size=5)
    expected = whole.judge(asked, REFUSED)

    def interrupt(done: float, total: float, what: str) -> None:
        if done == 4:
            raise KeyboardInterrupt(f"at {done} of {total} {what}")

    with pytest.raises(KeyboardInterrupt, match="at 4 of 5 judgements"):
        judge(judge_model, tmp_path, least_mass=0, batch_size=2).judge(asked, REFUSED, interrupt)
    read: list[int] = []

    def counted(model: LoadedModel, batch: Any) -> list[list[float]]:
        read.append(len(batch))
        return probabilities(model, batch)

    monkeypatch.setattr(word_choice, "probabilities", counted)
    again = judge(judge_model, tmp_path, least_mass=0, batch_size=2)
    assert again.judge(asked, REFUSED) == expected
    assert read == [1]


def test_its_name_changes_with_what_decides(judge_model: Path, tmp_path: Path) -> None:
    """Another rubric, threshold or weights is another judge; another batch size is not."""
    name = judge(judge_model, tmp_path).name
    assert judge(judge_model, tmp_path, batch_size=1).name == name
    assert judge(judge_model, tmp_path, least_mass=0.1).name != name
    assert judge(judge_model, tmp_path, rubric="harmful@1").name != name
    other = shutil.copytree(judge_model, tmp_path / "judge")
    (other / "notes.txt").write_text("changed")
    assert judge(other, tmp_path).name != name


def test_a_wrong_judge_is_said_at_once(judge_model: Path, tmp_path: Path) -> None:
    """A rubric or a model that does not exist stops before anything is judged."""
    with pytest.raises(SpecError, match="no rubric 'harmful@9'"):
        judge(judge_model, tmp_path, rubric="harmful@9")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"empty: no config\.json"):
        judge(empty, tmp_path)


def test_judges_of_one_process_share_their_weights(
    judge_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Judges of several models, axes and settings read the weights of one folder a single time."""
    folder = shutil.copytree(judge_model, tmp_path / "own")
    judge(folder, tmp_path / "a", least_mass=0).judge(items("a"), HARMFUL)
    by = judge(folder, tmp_path / "b", least_mass=0.1, batch_size=2)
    by.judge(items("b"), GRADED)
    assert outcomes(by.judge(items("same", base=("same",)), COMPARED)) == ["tie"]
    assert capfd.readouterr().err.count(f"loaded {folder} in ") == 1


def test_changed_weights_are_loaded_again(
    judge_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that judges with a folder whose files were replaced uses the new files."""
    folder = shutil.copytree(judge_model, tmp_path / "own")
    first = judge(folder, tmp_path / "a", least_mass=0)
    first.judge(items("a"), HARMFUL)
    (folder / "notes.txt").write_text("trained again")
    second = judge(folder, tmp_path / "b", least_mass=0)
    second.judge(items("a"), HARMFUL)
    assert first.name != second.name
    assert capfd.readouterr().err.count(f"loaded {folder} in ") == 2
