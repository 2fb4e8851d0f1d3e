"""A newcomer's first hour: an empty folder, and only what the README says."""

import csv
import json
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from tests.tutorials.pages import ROOT, Shell, blocks

README = ROOT / "README.md"
MINUTE = 60


def cpu() -> float:
    """Return the seconds that finished child processes have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def clone(tmp_path: Path) -> Shell:
    """A clone of the repository, as far as the README's commands need it."""
    shell = Shell(tmp_path)
    shutil.copytree(ROOT / "examples", shell.folder / "examples")
    for block in blocks(README):
        if block["title"]:
            (shell.folder / block["title"]).write_text(block["body"], encoding="utf-8")
    return shell


def commands() -> list[str]:
    """The README's commands after the two of `make`, without their comments."""
    lines = [block["body"].splitlines() for block in blocks(README) if block["kind"] == "sh"]
    return [line.partition("#")[0].strip() for part in lines[1:] for line in part]


@pytest.mark.slow
def test_both_studies_of_the_readme_reach_a_result(clone: Shell) -> None:
    """Toy models in a minute of one core; then a table, a verdict and a page for each study."""
    assert [line.split()[:2] for line in commands()] == [
        ["python", "examples/given_models.py"],
        ["mixmerge", "plan"],
        ["mixmerge", "run"],
        ["mixmerge", "run"],
    ]
    said = {}
    for line in commands():
        before = cpu()
        said[line] = clone.run(line)
        if line.startswith("python"):
            assert cpu() - before < MINUTE
    models = {"models": {"months", "safety", "mixed", "linear", "ties"}}
    for name, expected in (models | {"data": {"months", "safety", "mix", "merge"}}).items():
        results = json.loads((clone.folder / f"runs/{name}/results.json").read_text("utf-8"))
        assert set(results["models"]) == expected | {"base"}
        assert results["decisions"], name
        # A metric of one's own: the share of answers with a pattern.
        assert results["models"]["safety"]["axes"]["safety"]["value"] > 0.5
        assert results["models"]["months"]["axes"]["months"]["value"] > 0.5
        assert (clone.folder / f"runs/{name}/report.html").stat().st_size > 10_000
        assert "refused answers" in said[f"mixmerge run {name}.yaml"]


SMALL = """
base: testbed
data: {months: {testbed: first_month}}
mixtures: {months: {size: 64, shares: {months: 1}}}
training: {sft: {method: sft, epochs: 4, batch_size: 16}}
checkpoints: {months: {train: sft, mixture: months}}
evaluate:
  axes: {months: {prompts: {testbed: first_month}, judge: JUDGE, measure: {rate: correct}}}
  decoding: {max_new_tokens: 4}
"""


def test_a_missing_key_is_found_before_any_training(tmp_path: Path) -> None:
    """`plan` names the variable, and `run` stops with it and exit code 2: nothing is trained."""
    shell = Shell(tmp_path)
    judge = "{endpoint: 'http://127.0.0.1:9/v1', model: j, api_key_env: MY_OWN_KEY}"
    (shell.folder / "study.yaml").write_text(SMALL.replace("JUDGE", judge), encoding="utf-8")
    assert "MY_OWN_KEY" in shell.run("mixmerge plan study.yaml 2>&1 || true")
    said = shell.run('mixmerge run study.yaml && exit 1 || test $? = 2 && echo "stopped"')
    assert "MY_OWN_KEY" in said
    assert said.rstrip().endswith("stopped")
    assert not list(shell.folder.glob("runs/study/train/*/model"))


@pytest.mark.slow
def test_a_stopped_run_resumes(tmp_path: Path) -> None:
    """Ctrl-C ends with exit code 130; the same command finishes, and repeats no finished step."""
    shell = Shell(tmp_path)
    (shell.folder / "study.yaml").write_text(SMALL.replace("JUDGE", "exact_match"), "utf-8")
    with subprocess.Popen(
        ["mixmerge", "run", "study.yaml"],
        cwd=shell.folder,
        env=shell.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if "✓ mix/" in line:
                run.send_signal(signal.SIGINT)
                break
        run.stdout.read()
    assert run.returncode == 130
    said = shell.run("mixmerge run study.yaml")
    assert "✓ mix/" not in said
    assert "✓ judge/months" in said
    assert "0 would run" in shell.run("mixmerge plan study.yaml")


def write_formats(folder: Path) -> dict[str, str]:
    """Write five rows in each of the common formats, and return the files by source."""
    files = {}

    def lines(name: str, rows: list[dict[str, object]]) -> None:
        files[name] = f"{name}.jsonl"
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / files[name]).write_text(text, encoding="utf-8")

    def asked(name: str) -> list[tuple[str, str]]:
        return [(f"What is {n} in {name}?", f"It is {n}.") for n in range(5)]

    def turns(*said: str) -> list[dict[str, str]]:
        roles = ("system", "user", "assistant")[-len(said) :]
        return [{"role": role, "content": text} for role, text in zip(roles, said, strict=True)]

    lines("messages", [{"messages": turns(p, a)} for p, a in asked("messages")])
    lines("system", [{"messages": turns("Be brief.", p, a)} for p, a in asked("system")])
    lines("prompt", [{"prompt": p, "answer": a} for p, a in asked("prompt")])
    lines("tagged", [{"prompt": p, "answer": a, "language": "en"} for p, a in asked("tagged")])
    lines("completion", [{"prompt": p, "completion": a} for p, a in asked("completion")])
    lines("dpo", [{"prompt": p, "chosen": a, "rejected": "No."} for p, a in asked("dpo")])
    lines(
        "ultra",
        [
            {"prompt": p, "chosen": turns(p, a), "rejected": turns(p, "No."), "score_chosen": 8.0}
            for p, a in asked("ultra")
        ],
    )
    lines(
        "alpaca",
        [{"instruction": p, "input": "Be brief.", "output": a} for p, a in asked("alpaca")],
    )
    lines(
        "sharegpt",
        [
            {"conversations": [{"from": "human", "value": p}, {"from": "gpt", "value": a}]}
            for p, a in asked("sharegpt")
        ],
    )
    files["array"] = "array.json"
    rows = [{"instruction": p, "input": "", "output": a} for p, a in asked("array")]
    (folder / "array.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    files["table"] = "table.csv"
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("question", "answer"), *asked("table")])
    return files


def test_data_as_people_have_it_needs_nothing_but_its_path(tmp_path: Path) -> None:
    """Eleven files, one line for each: every row is in the mixture, an Alpaca row's input too."""
    shell = Shell(tmp_path)
    files = write_formats(shell.folder)
    spec = {
        "sources": {name: {"files": file} for name, file in files.items()},
        "shares": dict.fromkeys(files, 1),
        "languages": ["en"],
        "size": 5 * len(files),
    }
    (shell.folder / "mix.yaml").write_text(json.dumps(spec), encoding="utf-8")
    shell.run("mixmerge mix mix.yaml out")
    text = (shell.folder / "out" / "rows.jsonl").read_text(encoding="utf-8")
    assert len(files) == 11
    assert len(text.splitlines()) == 5 * 11
    assert text.count("Be brief.") == 10
