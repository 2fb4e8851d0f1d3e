"""Logs of lm-evaluation-harness: ``results_*.json`` with ``samples_*.jsonl``.

lm-eval writes the date and time of a run into the names of its files; the files of one run have the
same. Only a metric that is the mean of the items' scores can be compared item by item, so that mean
is checked against the value that lm-eval reports.
"""

import json
import math
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mixmerge.errors import DataError
from mixmerge.files import read_json
from mixmerge.logs.scores import Asked, Format, Scores, Text, first_key, number, shared
from mixmerge.records.results import Better
from mixmerge.spec_model import shown
from mixmerge.tables import Place, read_file

_DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?"
_RESULTS = re.compile(rf".+_({_DATE})\.json")
_SAMPLES = re.compile(rf"samples_(.+)_({_DATE})\.jsonl")
_BETTER: dict[bool | None, Better] = {True: "higher", False: "lower"}
_SETTINGS = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")


def _recognises(path: Path, head: str) -> bool:
    if _SAMPLES.fullmatch(path.name):
        return '"doc_id"' in head
    return path.suffix == ".json" and first_key(head) == "results"


def _read(path: Path, asked: Asked) -> list[Scores]:
    named = _SAMPLES.fullmatch(path.name)
    if named:
        task, date = named.groups()
        beside = [each for each in path.parent.glob(f"*_{date}.json") if each.is_file()]
        return [_task(task, date, path, read_json(beside[0]) if beside else {}, asked)]
    found = _RESULTS.fullmatch(path.name)
    if not found:
        raise DataError(f"{path}: lm-eval's results have the date in their name, by which their "
                        "samples are found. Give the file its name back.")  # fmt: skip
    results, date = _results(path), found[1]
    samples = {
        match[1]: file
        for file in sorted(path.parent.glob(f"samples_*_{date}.jsonl"))
        if (match := _SAMPLES.fullmatch(file.name))
    }
    if not samples:
        raise DataError(
            f"{path}: there is no samples_*_{date}.jsonl beside it, and only scores of items can "
            "be compared. Run lm-eval with --log_samples."
        )
    read: dict[str, Scores] = {}
    for name, file in samples.items():
        group = next((each for each in _groups(name, results) if each in asked.tasks), None)
        if group is None and not asked.wants(name):
            continue
        scores = _task(name, date, file, results, asked)
        if group is not None:
            _as_part(scores, group, path)
        if scores.task in read:
            _join(read[scores.task], scores)
        read.setdefault(scores.task, scores)
    for scores in [*read.values()][:1]:
        scores.notes += _on_the_whole(path, results, samples.keys(), asked)
    return [*read.values()]


def _groups(task: str, results: dict[str, Any]) -> list[str]:
    """Return the groups that a task is in, and those that these are in."""
    parents = [group for group, tasks in results.get("group_subtasks", {}).items() if task in tasks]
    return [*parents, *(each for parent in parents for each in _groups(parent, results))]


def _as_part(scores: Scores, group: str, results: Path) -> None:
    """Make scores of a task those of a part of its group."""
    scores.items = [f"{scores.task}/{item}" for item in scores.items]
    scores.task, scores.origin = group, results


def _join(group: Scores, part: Scores) -> None:
    if part.metric != group.metric:
        raise DataError(
            f"{group.origin}: tasks of {group.task} have different metrics ({group.metric}, "
            f"{part.metric}). Name one that all have with --metric."
        )
    for column in ("items", "values", "clusters", "languages", "contents", "prompts", "notes"):
        getattr(group, column).extend(getattr(part, column))


def _on_the_whole(
    path: Path, results: dict[str, Any], samples: Collection[str], asked: Asked
) -> Iterator[str]:
    """Say which tasks have no samples, and which groups could be compared as a whole."""
    for name in results["results"]:
        if name in results["configs"] and name not in samples and asked.wants(name):
            yield f"{path.name}: {name} has no samples and is left out"
    tops = [group for group in results.get("group_subtasks", {}) if not _groups(group, results)]
    for group in tops:
        parts = sum(group in _groups(name, results) for name in samples)
        if parts > 1 and not asked.tasks:
            yield f"{group} has {parts} tasks; --only {group} compares them as one"


def _results(path: Path) -> dict[str, Any]:
    results = read_json(path)
    if not all(isinstance(results.get(key), dict) for key in ("results", "configs")):
        raise DataError(f"{path}: not what lm-eval writes: no `results` and `configs`.")
    return dict(results)


def _task(task: str, date: str, samples: Path, results: dict[str, Any], asked: Asked) -> Scores:
    reported = results.get("results", {}).get(task, {})
    metric, kept, offered = _metric(samples, reported, asked)
    scores = Scores(
        model=str(results.get("model_name") or samples.parent.name),
        task=task,
        metric=f"{metric},{kept}" if kept != "none" else metric,
        origin=samples,
        format=FORMAT.name,
        better=_BETTER.get(results.get("higher_is_better", {}).get(task, {}).get(metric)),
        version=str(results.get("versions", {}).get(task, "")),
        settings={key: str(results[key]) for key in _SETTINGS if results.get(key) is not None}
        | {"n-shot": str(results.get("n-shot", {}).get(task, ""))},
        made=date,
        metrics=offered,
    )
    for place, row in _rows(samples, kept):
        _add(scores, place, row, metric, asked)
    if not results:
        scores.notes.append(f"{samples.name}: no results_{date}.json beside it, so the version of "
                            "the task and which direction is better are unknown")  # fmt: skip
    _compare_with_reported(scores, reported.get(f"{metric},{kept}"), results)
    return scores.check()


def _metric(samples: Path, reported: dict[str, Any], asked: Asked) -> tuple[str, str, list[str]]:
    """Return the metric and the filter to read, and all that there are."""
    offered = [key for key, value in reported.items()
               if "," in key and "_stderr," not in key and not isinstance(value, str)]  # fmt: skip
    if not offered:  # no results beside the samples
        rows = (row for _, row in read_file(samples))
        offered = list(
            dict.fromkeys(f"{m},{row['filter']}" for row in rows for m in row["metrics"])
        )
    names = [key.removesuffix(",none") for key in offered]
    for key, name in zip(offered, names, strict=True):
        if asked.metric in (None, key, name, key.split(",")[0]):
            metric, kept = key.rsplit(",", 1)
            return metric, kept, names
    raise DataError(f"{samples}: there is no metric `{asked.metric}` (there are: "
                    f"{', '.join(names)}).")  # fmt: skip


def _rows(samples: Path, kept: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    for place, row in read_file(samples):
        if row.get("filter", kept) == kept:
            yield place, row


def _add(scores: Scores, place: Place, row: dict[str, Any], metric: str, asked: Asked) -> None:
    if row.get("doc_id") is None:
        raise DataError(f"{place}: no `doc_id`, so it is not known which item this is.")
    value = row.get(metric)
    if isinstance(value, list | dict):
        raise DataError(
            f"{place}: `{metric}` is computed from all items together and has no score of an item "
            f"(seen: {shown(value)}). Name another metric of {scores.task} "
            f"(there are: {', '.join(scores.metrics)})."
        )
    scores.items.append(str(row["doc_id"]))
    scores.values.append(number(value, place, metric))
    if "doc_hash" in row:
        scores.contents.append(f"{row['doc_hash'][:16]}{row.get('target_hash', '')[:16]}")
        scores.prompts.append(str(row.get("prompt_hash", ""))[:16])
    absent = f"{place}: the document has no field"
    scores.add_shared(shared(asked, row.get("doc", {}), absent))


def _compare_with_reported(scores: Scores, reported: Any, results: dict[str, Any]) -> None:
    """Note missing items; refuse a metric that is not the mean of the items' scores."""
    expected = results.get("n-samples", {}).get(scores.task, {}).get("effective")
    if expected is not None and expected != len(scores.items):
        scores.notes.append(
            f"{scores.origin.name}: has {len(scores.items)} items, lm-eval evaluated {expected}"
        )
        return
    known = [value for value in scores.values if not math.isnan(value)]
    if not known or not isinstance(reported, int | float):
        return
    mean = math.fsum(known) / len(known)
    if abs(mean - reported) > 1e-6 * max(1.0, abs(mean)):
        raise DataError(
            f"{scores.origin}: lm-eval reports {reported:.6g} for `{scores.metric}`, and the mean "
            f"of its items is {mean:.6g}: it is not a mean, so models cannot be compared item by "
            f"item on it. Name another metric of {scores.task} (there are: "
            f"{', '.join(scores.metrics)})."
        )


def _texts(scores: Scores, wanted: frozenset[str], asked: Asked) -> dict[str, Text]:
    del asked
    kept = scores.metric.rsplit(",", 1)[1] if "," in scores.metric else "none"
    return {
        prefix + str(row["doc_id"]): _text(row)
        for prefix, file in _parts(scores, wanted)
        for _, row in _rows(file, kept)
        if prefix + str(row["doc_id"]) in wanted
    }


def _parts(scores: Scores, wanted: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files of samples, of a group with the task that begins the names of its items."""
    if _SAMPLES.fullmatch(scores.origin.name):
        yield "", scores.origin
        return
    for task in sorted({item.split("/")[0] for item in wanted}):
        yield f"{task}/", scores.origin.parent / f"samples_{task}_{scores.made}.jsonl"


def _text(row: dict[str, Any]) -> Text:
    """Return the prompt and the answer; for choices by likelihood, the likeliest one."""
    requests = [list(each.values()) for each in row["arguments"].values()]
    answers = row["resps"]
    prompt, target = str(requests[0][0]), str(row.get("target", ""))
    if all(isinstance(each[0], list) for each in answers):
        likely = [float(each[0][0]) for each in answers]
        best = max(range(len(likely)), key=likely.__getitem__)
        if target.isdigit() and int(target) < len(requests):
            target = str(requests[int(target)][-1]).strip()
        return Text(prompt, str(requests[best][-1]), target)
    first = answers[0][0]
    return Text(prompt, first if isinstance(first, str) else json.dumps(first), target)


FORMAT = Format(
    name="lm_eval",
    patterns=("*_20*.json", "samples_*.jsonl"),
    recognises=_recognises,
    read=_read,
    texts=_texts,
)
