"""Logs as lm-eval and inspect_ai write them, small: fields and names are theirs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DATE = "2026-11-30T19-53-02.181717"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write_lm_eval(
    folder: Path,
    model: str,
    scores: Mapping[str, Sequence[Any]],
    *,
    metric: str = "acc",
    filters: Sequence[str] = ("none",),
    version: float = 1.0,
    shots: int = 0,
    better: bool = True,
    date: str = DATE,
    reported: float | None = None,
    questions: str = "What is {}?",
    groups: Mapping[str, Sequence[str]] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write results and samples of tasks, one score an item; return the file of results."""
    folder = folder / model
    folder.mkdir(parents=True, exist_ok=True)
    for task, values in scores.items():
        rows = [
            {
                "doc_id": number,
                "doc": {"question": questions.format(number), "topic": f"t{number // 2}"},
                "target": "yes",
                "arguments": {"gen_args_0": {"arg_0": f"Q: {questions.format(number)}"}},
                "resps": [[f"{model} says {number}"]],
                "filtered_resps": [f"{number}"],
                "filter": kept,
                "metrics": [metric],
                "doc_hash": _digest(questions.format(number)),
                "prompt_hash": _digest(f"{shots} {questions.format(number)}"),
                "target_hash": _digest("yes"),
                metric: value,
            }
            | dict(changes or {})
            for kept in filters
            for number, value in enumerate(values)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"samples_{task}_{date}.jsonl").write_text(lines)
    means = {
        task: sum(value for value in values if isinstance(value, int | float)) / len(values)
        for task, values in scores.items()
    }
    results = {
        "results": {
            task: {f"{metric},{kept}": mean if reported is None else reported for kept in filters}
            | {f"{metric}_stderr,{kept}": 0.1 for kept in filters}
            for task, mean in means.items()
        },
        "group_subtasks": groups or {},
        "configs": {task: {"task": task} for task in scores},
        "versions": dict.fromkeys(scores, version),
        "n-shot": dict.fromkeys(scores, shots),
        "higher_is_better": {task: {metric: better} for task in scores},
        "n-samples": {task: {"effective": len(values)} for task, values in scores.items()},
        "model_name": f"/models/{model}",
        "lm_eval_version": "0.4.13",
    }
    path = folder / f"results_{date}.json"
    path.write_text(json.dumps(results, indent=2))
    return path


def write_inspect(
    path: Path,
    scores: Mapping[str, Sequence[Any]],
    *,
    model: str = "org/model",
    task: str = "sums",
    version: int = 0,
    epochs: int = 1,
    status: str = "success",
    errors: Sequence[int] = (),
    questions: str = "What is {}?",
    **changes: Any,
) -> Path:
    """Write a log with inspect_ai itself: of each scorer the values, sample by sample."""
    from inspect_ai.dataset import Sample
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalError,
        EvalLog,
        EvalResults,
        EvalSample,
        EvalSpec,
        write_eval_log,
    )
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    assert Sample is not None
    count = len(next(iter(scores.values()))) // epochs
    failed = EvalError(message="boom", traceback="", traceback_ansi="")
    samples = [
        EvalSample(
            id=number + 1,
            epoch=epoch + 1,
            input=questions.format(number),
            target="yes",
            metadata={"topic": f"t{number // 2}"},
            output=ModelOutput.from_content(model, f"{model} says {number}"),
            scores={
                name: Score(value=values[epoch * count + number])
                for name, values in scores.items()
                if values[epoch * count + number] is not None
            },
            error=failed if number in errors else None,
        )
        for epoch in range(epochs)
        for number in range(count)
    ]
    spec = EvalSpec(
        created="2026-11-30T19:53:57+00:00",
        task=task,
        task_version=version,
        dataset=EvalDataset(sample_ids=[number + 1 for number in range(count)]),
        model=model,
        config=EvalConfig(epochs=epochs),
        **changes,
    )
    log = EvalLog(
        version=2,
        status=status,
        eval=spec,
        results=EvalResults(total_samples=count * epochs, completed_samples=count * epochs),
        samples=samples,
    )
    write_eval_log(log, str(path))
    return path
