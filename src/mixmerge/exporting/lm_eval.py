"""The files of lm-evaluation-harness: ``MODEL/results_DATE.json`` and ``samples_AXIS_DATE.jsonl``.

Each axis is a task, and its measure the metric: the mean of the items' scores.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from mixmerge.exporting.data import Exported, Scored, mean_score
from mixmerge.files import write_json, write_text


def write(data: Exported, out: Path) -> list[Path]:
    """Write a folder for each model."""
    return [file for name in data.models for file in _model(data, name, out / name)]


def _model(data: Exported, name: str, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    date = data.made.split("+")[0].replace(":", "-")
    axes = data.results.axes
    files, values, sizes = [], {}, {}
    for axis, info in axes.items():
        rows = data.items(name, axis)
        samples = [_sample(place, row, info.measure) for place, row in enumerate(rows)]
        files.append(folder / f"samples_{axis}_{date}.jsonl")
        lines = (json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
        write_text(files[-1], "".join(lines))
        values[axis] = {
            "alias": axis,
            f"{info.measure},none": mean_score(rows),
            "sample_len": len(rows),
        }
        sizes[axis] = {"original": len(rows), "effective": len(rows)}
    files.append(folder / f"results_{date}.json")
    write_json(
        files[-1],
        {
            "results": values,
            "group_subtasks": {},
            "configs": {
                axis: {"task": axis, "description": info.phrase} for axis, info in axes.items()
            },
            "versions": dict.fromkeys(axes, 0),
            "n-shot": dict.fromkeys(axes, 0),
            "higher_is_better": {
                axis: {info.measure: info.better == "higher"} for axis, info in axes.items()
            },
            "n-samples": sizes,
            "config": {"model": "mixmerge", "model_args": {"pretrained": name}},
            "model_source": "mixmerge",
            "model_name": name,
            "model_name_sanitized": name,
        },
    )
    return files


def _sample(place: int, row: Scored, metric: str) -> dict[str, Any]:
    prompt, target = row.prompt, "; ".join(row.prompt.accepted)
    document = {
        "id": prompt.id,
        "cluster": prompt.cluster,
        "language": prompt.language,
        "category": prompt.category,
        "prompt": prompt.text,
    }
    return {
        "doc_id": place,
        "doc": document,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt.text, "arg_1": {}}},
        "resps": [[row.answer]],
        "filtered_resps": [row.answer],
        "filter": "none",
        "metrics": [metric],
        "doc_hash": _digest(json.dumps(document, ensure_ascii=False)),
        "prompt_hash": _digest(prompt.text),
        "target_hash": _digest(target),
        metric: row.score,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
