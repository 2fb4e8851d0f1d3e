"""lm-eval and inspect_ai run tasks of a user's own, on local data, and their logs are read back."""

import gc
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mixmerge.errors import SpecError
from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.sources import HarnessSpec, reading
from mixmerge.evaluation.sources.inspect import InspectSpec
from mixmerge.evaluation.sources.lm_eval import LmEvalSpec
from mixmerge.evaluation.sources.source import HarnessRun
from mixmerge.testbed.model import write_model

pytestmark = pytest.mark.filterwarnings("ignore")
"""The harnesses use what their own requirements deprecate."""

LM_EVAL = """
task: numbers
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: [one, two]
doc_to_target: "{{{{answer}}}}"
metric_list:
- {{metric: acc, aggregation: mean, higher_is_better: true}}
- {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
metadata: {{version: 3}}
"""
INSPECT = """
import math
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, mean, scorer
from inspect_ai.solver import generate

@scorer(metrics=[mean()])
def length():
    async def score(state, target):
        text = state.output.completion
        return Score(value=math.nan if state.sample_id == "q0" else min(1.0, len(text) / 40))
    return score

@task
def lengths(items: int = 4):
    samples = [Sample(id=f"q{i}", input=f"Question {i}?", metadata={"pair": i // 2})
               for i in range(items)]
    return Task(dataset=samples, solver=generate(), scorer=length(), version=5)
"""

Run = Callable[[HarnessSpec], Path]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs a harness on the testbed's base model."""
    write_model(tmp_path / "model")
    (tmp_path / "log").mkdir()

    def run(spec: HarnessSpec) -> Path:
        spec.run(
            HarnessRun(
                model=tmp_path / "model",
                name="mixed",
                out=tmp_path / "log",
                cache=tmp_path / "cache" / "run",
                files=spec.paths(),
                batch_size=8,
                seed=0,
                allow_execution=False,
            )
        )
        return tmp_path / "log"

    yield run
    gc.collect()  # of what inspect_ai does not close; here its warnings are ignored


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with a task of each harness."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": f"Say {n % 2 + 1}.", "answer": n % 2, "set": n // 3} for n in range(6)]
    data = folder / "numbers.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "numbers.yaml").write_text(LM_EVAL.format(data=data))
    (folder / "lengths.py").write_text(INSPECT)
    return folder


def test_a_task_of_lm_eval(run: Run, tasks: Path, tmp_path: Path) -> None:
    """The items' scores have the mean that lm-eval reports, for the metric that is asked."""
    fields = {"cluster": "set"}
    spec = LmEvalSpec(task="numbers", include_path=tasks, metric="acc_norm", fields=fields)
    assert spec.unknown() == ""
    log = run(spec)
    (scores,) = reading.read(spec, log)
    assert (scores.model, scores.task, scores.version) == ("mixed", "numbers", "3")
    assert (scores.metric, scores.better) == ("acc_norm", "higher")
    (results,) = (json.loads(file.read_text()) for file in log.rglob("results_*.json"))
    rows = reading.verdicts([scores], "numbers", Mean(), "en")
    mean = sum(row.score or 0 for row in rows) / 6
    assert mean == pytest.approx(results["results"]["numbers"]["acc_norm,none"])
    assert [row.cluster for row in rows] == ["0", "0", "0", "1", "1", "1"]
    assert "<|USER_TOKEN|>" in results["chat_template"]
    prompts, answers = reading.texts([scores], spec, rows)
    assert "Say 1." in prompts[0].text
    assert {answer.text for answer in answers} <= {"one", "two"}
    # What an interrupted run would read again.
    assert (tmp_path / "cache" / "run_rank0.db").is_file()


def test_a_task_of_inspect(run: Run, tasks: Path) -> None:
    """Arguments, limit and metadata are the task's; an item whose score is NaN has no verdict."""
    spec = InspectSpec(
        task=f"{tasks / 'lengths.py'}@lengths",
        args={"items": 9},
        limit=6,
        config={"max_tokens": 8, "temperature": 0},
        fields={"cluster": "pair"},
    )
    assert spec.unknown() == ""
    log = run(spec)
    (scores,) = reading.read(spec, log)
    assert (scores.task, scores.version, scores.metric) == ("lengths", "5", "length")
    rows = reading.verdicts([scores], "lengths", Mean(), "en")
    assert [(row.prompt, row.cluster) for row in rows] == [(f"q{n}", str(n // 2)) for n in range(6)]
    prompts, answers = reading.texts([scores], spec, rows)
    assert [prompt.text for prompt in prompts] == [f"Question {n}?" for n in range(6)]
    assert rows[0].outcome == "unreadable"
    for row, answer in list(zip(rows, answers, strict=True))[1:]:
        assert row.score == pytest.approx(min(1.0, len(answer.text) / 40))
    # Run once more before the cache is removed, it finds what was finished.
    before = {file.name: file.read_bytes() for file in log.iterdir()}
    run(spec)
    assert {file.name: file.read_bytes() for file in log.iterdir()} == before


@pytest.mark.slow
def test_an_unknown_task(run: Run, tasks: Path) -> None:
    """Both harnesses' tasks are looked for before a run; the message has a near name."""
    number = LmEvalSpec(task="numberz", include_path=tasks).unknown()
    assert re.match(r"lm_eval has no task 'numberz' among its .*; did you mean `numbers`\?", number)
    length = InspectSpec(task=f"{tasks / 'lengths.py'}@length")
    assert length.unknown().endswith("has no task 'length' (`lengths`); did you mean `lengths`?")
    with pytest.raises(SpecError, match=r"inspect, task .*@length: .*not found"):
        run(length)
    with pytest.raises(SpecError, match=r"lengths: the task has no argument `size` "):
        run(InspectSpec(task=f"{tasks / 'lengths.py'}@lengths", args={"size": 3}))


def test_a_metric_that_is_not_in_the_log(run: Run, tasks: Path) -> None:
    """The harness is not run again for another metric, so the error comes from reading."""
    spec = LmEvalSpec(task="numbers", include_path=tasks, limit=2)
    log = run(spec)
    with pytest.raises(Exception, match=r"no metric `f1` \(there are: acc, acc_norm\)"):
        reading.read(spec.model_copy(update={"metric": "f1"}), log)
