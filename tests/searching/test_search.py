"""Tests of mixmerge.searching.run: whole searches, from a study file to a front."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mixmerge
from mixmerge.durable import claimed, read_log
from mixmerge.errors import HeldError, SpecError
from mixmerge.merging.spec import MergeSpec
from mixmerge.searching.asker import Network
from mixmerge.searching.run import FOLDER, prepare_search
from mixmerge.searching.space import Candidate, Point
from mixmerge.study.check import read_study
from mixmerge.testbed.model import write_model

STUDY = """
languages: [en]
base: base
checkpoints: {a: a, b: b}
evaluate:
  axes:
    general: {prompts: {testbed: cliff/general}, judge: {rules: testbed}, measure: win_rate}
    safety: {prompts: {testbed: cliff/safety}, judge: {rules: testbed}, measure: {rate: refused}}
    kind:
      prompts: {testbed: cliff/over_refusal}
      judge: {rules: testbed}
      measure: {rate: refused}
      better: lower
  decide_on: [general, safety]
  decoding: {max_new_tokens: 12}
selection:
  prompts:
    general: {testbed: cliff/general, split: dev}
    safety: {testbed: cliff/safety, split: dev}
    kind: {testbed: cliff/over_refusal, split: dev}
search:
  models: [a, b]
  methods: [linear, ties]
  parameters: {density: [0.2, 1]}
  constraints: [kind <= 0.9]
  budget: {candidates: 6}
  strategy: random
  batch: 2
  members: 2
"""


def models(folder: Path) -> None:
    """Write a base model and two others near it, that answer differently."""
    write_model(folder / "base", "cliff")
    write_model(folder / "a", "aligned")
    write_model(folder / "b", "cliff")
    file = folder / "b" / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    noisy = {
        name: tensor + 0.02 * torch.randn(tensor.shape, generator=generator) * tensor.std()
        for name, tensor in load_file(file).items()
    }
    save_file(noisy, file, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the models, which tests only read."""
    folder = tmp_path_factory.mktemp("given")
    models(folder)
    return folder


@pytest.fixture
def here(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study of given models, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("base", "a", "b"):
        (tmp_path / name).symlink_to(given / name)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def journal(run: Path) -> list[Any]:
    """Return the lines of a search's journal."""
    return [line for file in run.glob(f"{FOLDER}/*/journal.ndjson") for line in read_log(file)]


@pytest.mark.slow
def test_a_killed_search_ends_with_the_same_bytes_and_its_front_can_be_written(here: Path) -> None:
    """A killed search asks nothing again, and a written member is what was searched, bit by bit."""
    command = [sys.executable, "-m", "mixmerge", "search", "study.yaml", "killed"]
    deadline = time.monotonic() + 300
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:  # fmt: skip
        try:
            while len(journal(here / "killed")) < 4 and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    before = journal(here / "killed")
    assert before
    mixmerge.search("study.yaml", "killed", workers=2)
    # The models are made once; the search itself starts anew.
    shutil.copytree("killed", "whole", ignore=shutil.ignore_patterns("search*", "front.yaml"))
    found = mixmerge.search("study.yaml", "whole", workers=2, write=True)
    assert (here / "killed/search.json").read_bytes() == (here / "whole/search.json").read_bytes()
    after = journal(here / "killed")
    assert after[: len(before)] == before
    assert [key for key, _ in after] == [key for key, _ in journal(here / "whole")]

    result = found.result
    assert result.used.candidates == len(result.candidates) == 6
    assert [member.name for member in result.front] == [*found.written]
    # Nothing was written but the members.
    assert {file.parent for file in (here / "whole").rglob("*.safetensors")} == {
        folder.resolve() for folder in found.written.values()
    }
    network = Network(read_study(here / "study.yaml"), {"a": here / "a", "b": here / "b"},
                      here / "base")  # fmt: skip
    for member in result.front:
        low, high = member.axes["safety"].ci
        assert 0 <= low <= member.axes["safety"].value <= high <= 1
        candidate = Candidate(Point("", ()), MergeSpec.model_validate(member.merge), ())
        network.become(candidate)
        state = network.loaded.network.state_dict()
        for name, tensor in load_file(found.written[member.name] / "model.safetensors").items():
            assert torch.equal(state[name], tensor), name
    # The front is a study file, which names the members beside the study's own checkpoints.
    assert {"a", "b", "front-1"} <= {*read_study(found.front_file).checkpoints}


def test_a_second_search_in_the_folder_is_refused(here: Path) -> None:
    """The message says that a search is running there, and the first one keeps its lock."""
    folder = here / "run" / FOLDER
    folder.mkdir(parents=True)
    with (
        claimed(folder / "lock", "search", patience=0),
        pytest.raises(HeldError, match="another process is running this search"),
    ):
        mixmerge.search("study.yaml", "run")
    assert not (here / "run/search.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("search:", "report: {}\nsearches:", "unknown key.*did you mean `search`"),
        ("  members: 2", "  member: 2", "unknown key.*did you mean `members`"),
        ("models: [a, b]", "models: [a, c]", r"search.models.1: there is no `c` in `checkpoints`"),
        ("models: [a, b]", "models: [a]", "search.models: .*at least 2"),
        ("models: [a, b]", "models: [a, a]", "names one twice"),
        (
            "[linear, ties]",
            "[linear, nearswap, slurp]",
            r"search.methods.2: .*did you mean `slerp`",
        ),
        ("[linear, ties]", "[linear, nearswap]", "nearswap merges 1 model, and `models` names 2"),
        ("density: [0.2, 1]", "density: [0.2, 3]", "`density` must be from 0 to 1"),
        ("density: [0.2, 1]", "density: [1, 0.2]", "first number of a range must be below"),
        ("density: [0.2, 1]", "densty: [0.2, 1]", "did you mean `density`"),
        ("density: [0.2, 1]", "weight: [0.2, 1]", "there is no `weight` in `parameters`"),
        ("kind <= 0.9", "kind < 0.9", "a constraint is `AXIS <= NUMBER`"),
        ("kind <= 0.9", "kid <= 0.9", "there is no `kid` in `evaluate.axes`"),
        ("{candidates: 6}", "{}", "name at least one limit"),
        ("{candidates: 6}", "{candidates: 0}", "search.budget.candidates: .*equal to 1"),
        ("    kind: {testbed: cliff/over_refusal, split: dev}\n", "", "needs prompts of `kind`"),
        ("  strategy: random", "  weights: [1, 0]", "first number of a range must be below"),
    ],
)
def test_mistakes_in_the_section_are_told_with_their_line(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Each message has the line, what is wrong, and what is known."""
    assert old in STUDY
    (tmp_path / "study.yaml").write_text(STUDY.replace(old, new))
    with pytest.raises(SpecError, match=rf"study.yaml, line \d+: .*({message})"):
        read_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("strategy: random", "strategy: rndom", r"line \d+: search.strategy: .*mean `random`"),
        ("candidates: 6", "answers: 6", "search.budget.answers: `random` needs at least"),
        ("candidates: 6", "judge_calls: 9", r"line \d+: search.budget: .*limits nothing"),
        ("candidates: 6", "dollars: 9", r"line \d+: search.budget: .*limits nothing"),
    ],
)
def test_a_search_that_cannot_begin_is_refused_before_anything_runs(
    old: str, new: str, message: str, here: Path
) -> None:
    """Unknown strategies and too small budgets are told, and no folder is made."""
    (here / "study.yaml").write_text(STUDY.replace(old, new))
    with pytest.raises(SpecError, match=message):
        prepare_search("study.yaml", "run")
    assert not (here / "run").exists()


def test_a_study_without_a_search_says_what_is_missing(here: Path) -> None:
    """The section is named, and so is the section that it stands on."""
    text = STUDY[: STUDY.index("search:")]
    (here / "study.yaml").write_text(text)
    with pytest.raises(SpecError, match="has no section `search`"):
        prepare_search("study.yaml")
    search = STUDY[STUDY.index("search:") :]
    (here / "study.yaml").write_text(text[: text.index("selection:")] + search)
    with pytest.raises(SpecError, match="needs `selection`: the prompts to choose on"):
        prepare_search("study.yaml")


def test_the_command_ends_with_two_and_one_message(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake of the user is one message without a traceback."""
    from mixmerge.cli.main import exit_code

    (here / "study.yaml").write_text(STUDY.replace("candidates: 6", "judge_calls: 0"))
    assert exit_code(["search", "study.yaml", "run"]) == 2
    assert "search.budget.judge_calls" in capfd.readouterr().err
    assert json.dumps(sorted(path.name for path in here.iterdir())) == json.dumps(
        ["a", "b", "base", "study.yaml"]
    )
