"""What a run will miss is said before it begins, all of it together."""

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.execution.events import Event, Warned
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step
from mixmerge.study.check import parse_study
from mixmerge.study.explain import Explained, explain
from mixmerge.study.probe import missing_keys, needed_endpoints
from mixmerge.study.run import run
from mixmerge.testbed.model import BASES, TESTBED
from mixmerge.testbed.model import write_model as write_testbed

STUDY = """
base: testbed
checkpoints: {tuned: ./tuned}
evaluate:
  axes:
    safe: {prompts: {testbed: safety}, judge: JUDGE, measure: {rate: harmful}, better: lower}
"""
JUDGE = "{endpoint: 'http://localhost:9/v1', model: m, api_key_env: NO_SUCH_KEY}"
OWN_DATA = """
languages: [en]
base: testbed
data:
  chats: {files: chats.jsonl, language: LANGUAGE}
mixtures:
  all: {size: 4, shares: {chats: 1}}
training:
  sft: {method: sft}
checkpoints:
  tuned: {train: sft, mixture: all}
evaluate:
  axes:
    right: {prompts: {files: asked.jsonl}, judge: exact_match, measure: {rate: correct}}
"""
CHAT = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}

WriteModel = Callable[[Path, Mapping[str, list[int]]], Path]


@pytest.fixture
def write_model() -> WriteModel:
    """Return a function that writes a model folder of zeros with tensors of these shapes."""

    def write(folder: Path, shapes: Mapping[str, list[int]]) -> Path:
        folder.mkdir(parents=True)
        header: dict[str, object] = {}
        end = 0
        for name, shape in shapes.items():
            start, end = end, end + 2 * shape[0] * shape[1]
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
        text = json.dumps(header).encode()
        weights = len(text).to_bytes(8, "little") + text + bytes(end)
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text('{"architectures": ["X"], "model_type": "llama"}')
        (folder / "tokenizer.json").write_text("{}")
        return folder

    return write


def rows(path: Path, *values: object) -> None:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def planned(folder: Path, text: str) -> Explained:
    """Plan a study of this text in a folder."""
    (folder / "study.yaml").write_text(text)
    return explain(folder / "study.yaml", folder / "out")


def test_a_missing_key_stops_a_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_model: WriteModel
) -> None:
    """`plan` says which key is missing and where the file names it; `run` starts nothing."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    write_model(tmp_path / "tuned", {"w": [2, 2]})
    monkeypatch.chdir(tmp_path)
    text = STUDY.replace("JUDGE", JUDGE)
    (said,) = planned(tmp_path, text).missing
    assert "study.yaml, line 6: evaluate.axes.safe.judge.api_key_env: " in said
    assert "NO_SUCH_KEY, which is not set. judge/base and 1 more step need it: `export" in said
    with pytest.raises(SpecError, match=r"NO_SUCH_KEY.*--only") as error:
        run(tmp_path / "study.yaml", tmp_path / "out")
    assert said in str(error.value)
    assert not (tmp_path / "out" / "generate").exists()
    monkeypatch.setenv("NO_SUCH_KEY", "k")
    assert planned(tmp_path, text).missing == []


def test_a_missing_package_stops_a_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a training that asks for 4-bit weights needs bitsandbytes; the recipe is named."""
    monkeypatch.chdir(tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    rows(tmp_path / "chats.jsonl", *[CHAT] * 4)
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"})
    text = OWN_DATA.replace("LANGUAGE", "en")
    assert planned(tmp_path, text).missing == []
    changed = text.replace("{method: sft}", "{method: sft, adapter: {load_in_4bit: true}}")
    (said,) = planned(tmp_path, changed).missing
    assert "training.sft.adapter: needs the package bitsandbytes: pip install" in said
    assert said.endswith(("install bitsandbytes.", "install 'mixmerge[qlora]'."))


def test_only_steps_that_will_run_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is done needs none; keys of a panel's members are found, each once."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    endpoint = {"endpoint": "http://localhost:9/v1", "model": "m", "api_key_env": "NO_SUCH_KEY"}
    judges = [endpoint, endpoint | {"model": "n"}]
    judge = Step("judge", "sft", placement={"axes": {"safe": {"panel": judges}}})
    panel = f"{{panel: [{JUDGE}, {JUDGE.replace('model: m', 'model: n')}]}}"
    study = parse_study(STUDY.replace("JUDGE", panel), "study.yaml")
    needed = needed_endpoints(study, [Planned(judge, "to do")])
    places = [("evaluate", "axes", "safe", "judge", "panel", index) for index in range(2)]
    assert [each.place for each in needed] == places
    ((place, said),) = missing_keys(needed)
    assert place == (*places[0], "api_key_env")
    assert "judge/sft needs it" in said
    assert needed_endpoints(study, []) == []


def test_everything_is_said_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken row, a prompt without text and a missing key are three lines of one message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    rows(tmp_path / "chats.jsonl", CHAT, {"messages": [{"role": "user", "content": "1"}]})
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"}, {"prompt": ""})
    judge = f"{JUDGE}, measure: win_rate"
    judged = OWN_DATA.replace("exact_match, measure: {rate: correct}", judge)
    plan = planned(tmp_path, judged.replace("LANGUAGE", "en"))
    (key,) = plan.missing
    assert "study.yaml, line 14: evaluate.axes.right.judge.api_key_env: " in key
    chats, asked = plan.errors
    assert "data.chats: " in chats
    assert "chats.jsonl, line 2" in chats
    assert "evaluate.axes.right.prompts: " in asked
    assert "asked.jsonl, line 2" in asked
    with pytest.raises(SpecError, match="3 problems to fix before the run"):
        run(tmp_path / "study.yaml", tmp_path / "out")
    assert not (tmp_path / "out" / "mix").exists()


def test_missing_files_are_named_where_the_study_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file that is not there is a line with the keys that name it; all at once."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"does not exist; check the path") as error:
        planned(tmp_path, OWN_DATA.replace("LANGUAGE", "en"))
    first, second = sorted(str(error.value).splitlines())
    assert "line 14: evaluate.axes.right.prompts.files: asked.jsonl does not exist" in first
    assert "line 5: data.chats.files: chats.jsonl does not exist" in second


@pytest.mark.parametrize(("language", "stops"), [("hi", True), ("en", False)])
def test_rows_of_other_languages_are_found(
    language: str, stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source in a language that the study does not have would give no row."""
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "chats.jsonl", CHAT)
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"})
    errors = planned(tmp_path, OWN_DATA.replace("LANGUAGE", language)).errors
    assert ["are in `hi`, and the study is in `en`" in line for line in errors] == [True] * stops


def test_a_column_language_that_nobody_asked_for_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first rows were read: others may be in the study's language."""
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "chats.jsonl", CHAT | {"language": "hi"})
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"})
    plan = planned(tmp_path, OWN_DATA.replace(", language: LANGUAGE", ""))
    assert plan.errors == []
    assert any("its first 1 rows are in `hi`" in line for line in plan.warnings)


def test_too_few_prompts_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run hears it once, before its first step, and goes on."""
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "chats.jsonl", *[CHAT] * 4)
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"})
    plan = planned(tmp_path, OWN_DATA.replace("LANGUAGE", "en"))
    assert plan.decides == ["right: 1 prompts decide nothing; 30 are required."]
    heard: list[Event] = []
    out = tmp_path / "out"
    run(tmp_path / "study.yaml", out, only=["prompts/right"], listener=heard.append)
    run(tmp_path / "study.yaml", out, only=["prompts/right"], listener=heard.append)
    said = [event.message for event in heard if isinstance(event, Warned)]
    assert len(said) == 2  # once a run
    assert "1 prompts are too few for any interval" in said[0]


def test_merges_that_do_not_fit_are_found_from_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_model: WriteModel
) -> None:
    """Two given models of other shapes cannot be merged; nothing has to be trained to know it."""
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "a", {"w": [2, 2]})
    write_model(tmp_path / "b", {"w": [2, 3]})
    text = STUDY.replace("JUDGE", "{rules: testbed}").replace("base: testbed", "base: ./a")
    merge = "{tuned: ./b, mixed: {merge: {method: linear, models: [tuned, other]}}, other: ./a}"
    plan = planned(tmp_path, text.replace("{tuned: ./tuned}", merge))
    (said,) = plan.errors
    assert "checkpoints.mixed: The models do not fit together" in said


def test_merges_with_the_testbed_fit_its_own_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model's headers are those of the package until it is written into the run."""
    monkeypatch.chdir(tmp_path)
    write_testbed(tmp_path / "tuned", BASES[TESTBED])
    merge = "{tuned: ./tuned, mixed: {merge: {method: ties, models: [tuned]}}}"
    text = STUDY.replace("JUDGE", "{rules: testbed}").replace("{tuned: ./tuned}", merge)
    assert planned(tmp_path, text).errors == []


def test_an_incomplete_model_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_model: WriteModel
) -> None:
    """A folder without weights is named at the checkpoint that names it."""
    monkeypatch.chdir(tmp_path)
    (write_model(tmp_path / "tuned", {"w": [2, 2]}) / "model.safetensors").unlink()
    (said,) = planned(tmp_path, STUDY.replace("JUDGE", "{rules: testbed}")).errors
    assert "study.yaml, line 3: checkpoints.tuned: " in said
    assert "no *.safetensors file" in said


def test_a_disk_that_is_too_small_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights that will be written are compared with what is free."""
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "chats.jsonl", *[CHAT] * 4)
    rows(tmp_path / "asked.jsonl", {"prompt": "1", "accepted": "2"})
    text = OWN_DATA.replace("LANGUAGE", "en")
    assert planned(tmp_path, text).missing == []

    class Usage:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    (said,) = planned(tmp_path, text).missing
    assert "GB of disk, and 0.00 GB are free" in said
    with pytest.raises(SpecError, match="free some, or choose another run folder"):
        run(tmp_path / "study.yaml", tmp_path / "out")
