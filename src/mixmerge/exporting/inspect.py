"""Logs of inspect_ai, one for each model and axis, which ``inspect view`` opens.

Each axis is a task, and its judge with its measure the scorer.
"""

import math
from pathlib import Path
from typing import Any

from mixmerge.errors import ResourceError
from mixmerge.exporting.data import Exported, Scored, mean_score
from mixmerge.records.results import AxisInfo


def write(data: Exported, out: Path) -> list[Path]:
    """Write ``MODEL_AXIS.eval`` files.

    Raises:
        ResourceError: inspect_ai is not installed.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError:
        raise ResourceError(
            "--to inspect needs the package inspect_ai: pip install 'mixmerge[inspect]'."
        ) from None
    files = []
    for name in data.models:
        for axis, info in data.results.axes.items():
            files.append(out / f"{name}_{axis}.eval")
            write_eval_log(_log(data, name, axis, info), str(files[-1]))
    return files


def _log(data: Exported, name: str, axis: str, info: AxisInfo) -> Any:
    from inspect_ai.log import (
        EvalConfig,
        EvalDataset,
        EvalLog,
        EvalMetric,
        EvalResults,
        EvalScore,
        EvalSpec,
        EvalStats,
    )

    rows = data.items(name, axis)
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=data.made,
            task=axis,
            # Logs with one task id are retries of each other to the viewer, which shows the last.
            task_id=f"{data.results.study}-{axis}-{name}",
            run_id=data.results.study,
            dataset=EvalDataset(
                name=axis, samples=len(rows), sample_ids=[row.prompt.id for row in rows]
            ),
            model=name,
            config=EvalConfig(),
            metadata={"better": info.better, "bounds": list(info.bounds), "phrase": info.phrase},
        ),
        results=EvalResults(
            total_samples=len(rows),
            completed_samples=len(rows),
            scores=[
                EvalScore(
                    name=info.measure,
                    scorer=info.measure,
                    metrics={"mean": EvalMetric(name="mean", value=mean_score(rows))},
                )
            ],
        ),
        stats=EvalStats(started_at=data.made, completed_at=data.made),
        samples=[_sample(row, name, info.measure) for row in rows],
    )


def _sample(row: Scored, model: str, scorer: str) -> Any:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import (
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        ModelOutput,
    )
    from inspect_ai.scorer import Score

    turns = {
        "user": ChatMessageUser,
        "system": ChatMessageSystem,
        "assistant": ChatMessageAssistant,
    }
    asked = [turns[turn.role](content=turn.content) for turn in row.prompt.messages]
    answer = ModelOutput.from_content(model, row.answer)
    score = Score(
        value=math.nan if row.score is None else row.score,
        answer=row.answer,
        explanation=row.reason or None,
        metadata={"judge": row.judge},
    )
    return EvalSample(
        id=row.prompt.id,
        epoch=1,
        input=asked,
        target=list(row.prompt.accepted),
        messages=[*asked, answer.choices[0].message],
        output=answer,
        scores={scorer: score},
        metadata={
            "cluster": row.prompt.cluster,
            "language": row.prompt.language,
            "category": row.prompt.category,
        },
    )
