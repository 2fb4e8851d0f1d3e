"""The verdicts of a run folder of mixmerge: ``judge/MODEL-HASH/AXIS.jsonl``."""

from pathlib import Path
from typing import Any

from mixmerge.errors import DataError
from mixmerge.files import read_object, read_rows
from mixmerge.fingerprint import once
from mixmerge.logs.scores import Asked, Format, Scores, Text, first_key
from mixmerge.records import WORTH, Prompt, Response, Verdict, by_prompt, score_of

_VERDICTS = "[js]*e/*/*.jsonl"
"""The verdicts of the steps ``judge/MODEL`` and ``score/MODEL@AXIS``."""


def _recognises(path: Path, head: str) -> bool:
    if path.suffix == ".json":
        return first_key(head) == "schema" and '"study":' in head
    return path.suffix == ".jsonl" and '"outcome":' in head and '"judge":' in head


def _read(path: Path, asked: Asked) -> list[Scores]:
    if path.suffix == ".jsonl":
        return [_verdicts(path)] if asked.wants(path.stem) else []
    files = sorted(path.parent.glob(_VERDICTS))
    if not files:
        raise DataError(
            f"{path}: there are no verdicts beside it (judge/MODEL/AXIS.jsonl), and only scores of "
            "items can be compared. Keep results.json in its run folder."
        )
    return [_verdicts(file) for file in files if asked.wants(file.stem)]


def _step(folder: Path) -> dict[str, Any]:
    """Return the record of the step that wrote a folder; empty if it is not finished."""
    return read_object(folder / "record.json")


def _verdicts(path: Path) -> Scores:
    step, axis, written = _step(path.parent), path.stem, path.parents[2] / "results.json"
    # Each model's verdicts on each axis are a log, and all need the results.
    results = once(read_object, written) if step and written.is_file() else {}
    info = results.get("axes", {}).get(axis, {})
    low, high = info.get("bounds", (0.0, 1.0))
    scores = Scores(
        model=str(step.get("name") or path.parent.name).partition("@")[0],
        task=axis,
        metric=str(info.get("title") or "score"),
        origin=path,
        format=FORMAT.name,
        better=info.get("better"),
        bounds=(low, high) if info else None,
        made=str(step.get("started", "")),
    )

    def worth(verdict: Verdict) -> float:
        grade = verdict.score
        return low + (high - low) * WORTH[verdict.outcome] if grade is None else grade

    for prompt, rows in by_prompt(read_rows(path, Verdict)).items():
        scores.items.append(prompt)
        scores.values.append(score_of(rows, worth))
        scores.clusters.append(rows[0].cluster)
        scores.languages.append(rows[0].language)
    if "seed" in results:
        scores.seeds = [str(results["seed"])] * len(scores.items)
    return scores.check()


def _texts(scores: Scores, wanted: frozenset[str], asked: Asked) -> dict[str, Text]:
    del asked
    run, axis, own = scores.origin.parents[2], scores.task, scores.origin.parent / "texts"
    answered = own.glob("answers.jsonl") if own.is_dir() else (
        run.glob(f"generate/{scores.model}-*/{axis}.jsonl")
    )  # fmt: skip
    asked_of = own.glob("rows.jsonl") if own.is_dir() else run.glob(f"prompts/{axis}-*/rows.jsonl")
    answers = {
        row.prompt: row.text
        for file in sorted(answered)
        for row in read_rows(file, Response)
        if row.prompt in wanted
    }
    return {
        row.id: Text(row.text, answers[row.id], "; ".join(row.accepted))
        for file in sorted(asked_of)
        for row in read_rows(file, Prompt)
        if row.id in answers
    }


FORMAT = Format(
    name="mixmerge",
    patterns=(_VERDICTS, "*.jsonl"),
    recognises=_recognises,
    read=_read,
    texts=_texts,
    rank=0,
)
