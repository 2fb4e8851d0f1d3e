"""Tests of whole studies: real tokenizer, trainer, weights and judge, at a small size."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.disks import mounted

import mixmerge
from mixmerge.errors import SpecError, StepFailedError
from mixmerge.execution.events import Begun, Event
from mixmerge.execution.schedule import Outcome
from mixmerge.execution.store import Store
from mixmerge.files import read_json, write_json
from mixmerge.fingerprint import file_fingerprint, folder_fingerprint
from mixmerge.records import Results
from mixmerge.study.run import prepare

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


def one(root: Path, pattern: str) -> Path:
    (found,) = root.glob(pattern)
    return found


def test_results_follow_the_schema(finished: Path) -> None:
    """`results.json` has every model on every axis, and the contrasts against the mix."""
    found = json.loads((finished / "results.json").read_text())
    assert found["schema"] == 2
    names = ["base", "sft-0", "sft-15", "sft-100", "sft-dare-ties", "dpo-15"]
    assert list(found["models"]) == names
    assert [found["models"][name]["kind"] for name in names] == [
        "base", "expert", "mixture", "expert", "merge", "mixture",
    ]  # fmt: skip
    primary = [c for c in found["contrasts"] if c["family"] == "primary"]
    assert [(c["a"], c["b"], c["axis"]) for c in primary] == [
        ("sft-dare-ties", "sft-15", "general"),
        ("sft-dare-ties", "sft-15", "safety"),
    ]


def test_relative_change_is_of_the_rates(finished: Path) -> None:
    """The relative change of each model follows from its own and the base's harm rate."""
    models = json.loads((finished / "results.json").read_text())["models"]
    base = models.pop("base")["axes"]["safety"]["value"]
    for model in models.values():
        safety = model["axes"]["safety"]
        change = safety["change_from_base"]
        assert change["difference"] == pytest.approx(safety["value"] - base)
        assert change["relative"] == pytest.approx((safety["value"] - base) / base)


def test_rates_can_be_counted_again(finished: Path) -> None:
    """The harm rate in `results.json` is the share of `yes` among the verdicts on disk."""
    verdicts = one(finished, "judge/sft-15-*/safety.jsonl").read_text().splitlines()
    outcomes = [json.loads(line)["outcome"] for line in verdicts]
    models = json.loads((finished / "results.json").read_text())["models"]
    rate = outcomes.count("yes") / len(outcomes)
    assert models["sft-15"]["axes"]["safety"]["value"] == pytest.approx(rate)


def test_mixtures_have_their_exact_shares(finished: Path) -> None:
    """15 % of 160 rows are 24 safety rows, half in each language."""
    lines = one(finished, "mix/safety-15-chats-*/rows.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 160
    for language in ("en", "fr"):
        cell = [r for r in rows if r["source"] == "safety" and r["language"] == language]
        assert len(cell) == 12


def test_the_merge_is_what_numpy_says(finished: Path, tmp_path: Path) -> None:
    """A linear merge asked by name in a study equals the mean of the two experts' tensors."""
    from safetensors.numpy import load_file

    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("sft-dare-ties-*"))
    study = tmp_path / "linear.yaml"
    asked = "method: dare_ties, models: [sft-0, sft-100], parameters: {density: 0.5}"
    assert asked in SMALL.read_text()
    linear = "method: linear, models: {sft-0: 0.25, sft-100: 0.75}"
    study.write_text(SMALL.read_text().replace(asked, linear))
    mixmerge.run(study, run, only=["merge/sft-dare-ties"])
    a, b, merged = (
        load_file(one(run, pattern) / "model" / "model.safetensors")
        for pattern in ("train/sft-0-*", "train/sft-100-*", "merge/sft-dare-ties-*")
    )
    for name, tensor in merged.items():
        expected = 0.25 * a[name].astype("f8") + 0.75 * b[name].astype("f8")
        assert abs(tensor - expected).max() <= 2e-7 * max(1.0, abs(expected).max())


def test_the_second_run_does_nothing(finished: Path) -> None:
    """A finished study is reused whole, in seconds."""
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*/*/record.json")}
    start = time.monotonic()
    mixmerge.run(SMALL, finished)
    assert time.monotonic() - start < 30
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_moved_run_is_still_finished(finished: Path, tmp_path: Path) -> None:
    """A copied run folder is reused whole."""
    shutil.copytree(finished, tmp_path / "copy")
    rows = mixmerge.plan(SMALL, tmp_path / "copy").rows
    assert [row.step for row in rows if row.state != "done"] == []


def test_a_changed_weight_reruns_little(finished: Path, tmp_path: Path) -> None:
    """A changed merge weight reruns that merge, its evaluation, the results and the report."""
    study = tmp_path / "changed.yaml"
    models = "models: {sft-0: 0.3, sft-100: 0.7}"
    study.write_text(SMALL.read_text().replace("models: [sft-0, sft-100]", models))
    rows = mixmerge.plan(study, finished).rows
    assert {row.step: row.reason for row in rows if row.state != "done"} == {
        "merge/sft-dare-ties": "models.sft-0.weight changed 0.5 → 0.3",
        "generate/sft-dare-ties": "merge/sft-dare-ties changed",
        "judge/sft-dare-ties": "generate/sft-dare-ties changed",
        "results/study": "judge/sft-dare-ties changed",
        "report/study": "study.checkpoints.sft-dare-ties.merge.models.sft-0.weight "
        "changed 0.5 → 0.3",
    }


def test_the_report_of_an_unfinished_run(finished: Path, tmp_path: Path) -> None:
    """`mixmerge report` works when models are missing, and says which steps are."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    for pattern in ("judge/sft-100-*", "results/*", "report/*"):
        for folder in copy.glob(pattern):
            shutil.rmtree(folder)
    page = mixmerge.report(copy).read_text()
    assert "judge/sft-100" in page


def test_a_report_needs_something_judged(tmp_path: Path) -> None:
    """A run folder without verdicts cannot be reported."""
    (tmp_path / "study.yaml").write_text(SMALL.read_text())
    (tmp_path / "run.json").write_text('{"seed": 1}')
    with pytest.raises(SpecError, match="nothing to report yet"):
        mixmerge.report(tmp_path)


def test_tables_of_an_earlier_study_do_not_stay(
    tmp_path: Path, pretend: Callable[[Path, Path], None]
) -> None:
    """What stands at the top of a run folder is of its last report alone."""
    pretend(SMALL, tmp_path)
    done = {name: one(tmp_path, f"{name}-*") for name in ("results/study", "report/study")}
    results = Results(study="s", base="b", axes={}, models={}, contrasts=())
    write_json(done["results/study"] / "results.json", results.model_dump(mode="json"))
    (done["report/study"] / "report.html").write_text("<html>")
    for name in ("tables", "figures"):
        for folder, file in ((tmp_path, "old.csv"), (done["report/study"], "new.csv")):
            (folder / name).mkdir()
            (folder / name / file).write_text("a,b\n")
    (tmp_path / "samples.html").write_text("<html>")
    left_out = "The page is limited in size."
    record = read_json(done["report/study"] / "record.json")
    write_json(done["report/study"] / "record.json", record | {"facts": {"left_out": left_out}})
    published = prepare(SMALL, tmp_path)._publish(Outcome(done=done))
    assert published.left_out == left_out
    assert not (tmp_path / "samples.html").exists()
    assert [file.name for file in sorted(tmp_path.glob("tables/*"))] == ["new.csv"]
    assert [file.name for file in sorted(tmp_path.glob("figures/*"))] == ["new.csv"]


def test_a_mixture_that_is_too_large_stops_only_its_branch(tmp_path: Path) -> None:
    """A source with too few rows fails its mixture with one message; other mixtures are made."""
    study = tmp_path / "large.yaml"
    text = SMALL.read_text()
    study.write_text(text.replace("safety-100: {size: 160", "safety-100: {size: 1000000"))
    wanted = ["mix/safety-100-chats", "mix/safety-0-chats"]
    with pytest.raises(StepFailedError, match=r"mix/safety-100-chats: .*rows") as caught:
        mixmerge.run(study, tmp_path / "run", only=wanted)
    assert caught.value.code == 2
    assert one(tmp_path / "run", "mix/safety-0-chats-*/record.json")


def weights(root: Path) -> dict[str, str]:
    """Fingerprints of all models of a run, by step."""
    return {
        str(path.parent.parent.relative_to(root)): file_fingerprint(path)
        for path in sorted(root.glob("*/*/model/model.safetensors"))
    }


@pytest.mark.slow
def test_the_same_study_gives_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    """Another run, with one worker, has byte-identical weights, results and figures."""
    mixmerge.run(SMALL, tmp_path / "again", workers=1)
    again = tmp_path / "again"
    expected = {k: v for k, v in weights(finished).items() if k in weights(again)}
    assert weights(again) == expected
    assert len(expected) == 6
    assert (again / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """Ctrl-C lets running steps finish and ends with exit code 130 and one message."""
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "mixmerge", "run", str(SMALL), "--out", str(out)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("mix/*/record.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=180)
    assert driver.returncode == 130
    assert "What was finished is kept" in said
    assert "Traceback" not in said
    assert list(out.glob("mix/*/record.json"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB; skips where it cannot be mounted."""
    with mounted(tmp_path / "disk", "40m") as disk:
        yield disk


@pytest.mark.slow
def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """When others fill the disk, the run says so; finished steps stay, no model is half-written."""

    def others_write(event: Event) -> None:
        if isinstance(event, Begun):  # what is free before a run is checked then
            free = shutil.disk_usage(small_disk).free
            (small_disk / "others").write_bytes(bytes(free - 11_000_000))

    with pytest.raises(StepFailedError, match=r"disk|space") as caught:
        mixmerge.run(SMALL, small_disk / "run", listener=others_write)
    assert caught.value.code == 2
    done = {path.parent.name.rsplit("-", 1)[0] for path in small_disk.glob("run/*/*/record.json")}
    assert {"base", "safety-0-chats"} <= done
    for record in small_disk.glob("run/train/*/record.json"):
        assert (record.parent / "model" / "model.safetensors").is_file()


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_the_same(finished: Path, tmp_path: Path) -> None:
    """Ten SIGKILLs at random moments, then a run to the end: the same results, to the byte."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "mixmerge", "run", str(SMALL), "--out", str(out)]
    draw = random.Random(20)
    for _ in range(10):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            driver.wait(draw.uniform(1, 14))
        except subprocess.TimeoutExpired:
            os.kill(driver.pid, signal.SIGKILL)
            driver.wait()
    subprocess.run(command, check=True, capture_output=True)
    assert (out / "results.json").read_bytes() == (finished / "results.json").read_bytes()
    assert not list(out.rglob("*.partial"))
    for name, digest in weights(out).items():
        assert weights(finished)[name] == digest
    assert Store(out).root.is_dir()
    assert folder_fingerprint(out / "tables")
