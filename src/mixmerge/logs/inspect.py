"""Logs of inspect_ai, ``.eval`` and ``.json``, read by inspect_ai itself.

Of a ``.eval`` log only the header and the summaries of samples are read, of a ``.json`` log one
sample at a time: neither needs memory for the transcripts.
"""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mixmerge.errors import DataError, ResourceError
from mixmerge.logs.scores import (
    Asked,
    Field,
    Format,
    Scores,
    Text,
    digest,
    first_key,
    number,
    shared,
)

_MOST = 5000
"""Characters of a text that are compared: inspect's summaries have 5120, and words for images."""


class _Sample(NamedTuple):
    """What is compared of one sample and epoch."""

    id: str
    epoch: str
    scores: dict[str, Any]
    """By scorer, and by ``scorer/key`` where a scorer gives several values."""
    content: str
    shared: dict[Field, str]
    """Its ``cluster`` and ``language``, as far as they are asked for."""
    error: bool


def _recognises(path: Path, head: str) -> bool:
    is_json = path.suffix == ".json" and first_key(head) == "version"
    return path.suffix == ".eval" or (is_json and '"status":' in head)


def _read(path: Path, asked: Asked) -> list[Scores]:
    with _explained(path):
        header = _log_module().read_eval_log(str(path), header_only=True)
        if _newer(header.version):
            raise ValueError(f"Unable to read version {header.version}")
        if not asked.wants(header.eval.task):
            return []
        samples = list(_samples(path, asked))
    scores = Scores(
        model=_model(header.eval),
        task=header.eval.task,
        metric="",
        origin=path,
        format=FORMAT.name,
        version=str(header.eval.task_version),
        settings=_settings(header.eval),
        made=str(header.eval.created),
        metrics=list(dict.fromkeys(name for sample in samples for name in sample.scores)),
    )
    if not scores.metrics:
        raise DataError(
            f"{path}: no sample has a score (status: {header.status}, {len(samples)} samples). "
            "Score it with `inspect score`, or run it again with `inspect eval-retry`."
        )
    scores.metric = _metric(scores, header, asked)
    for sample in samples:
        _add(scores, sample)
    if len({*scores.epochs}) == 1:
        scores.epochs = []
    scores.notes += _notes(scores, header, samples)
    return [scores.check()]


def _model(spec: Any) -> str:
    """Return the model's name; that of a local one is any word, and its path an argument."""
    return str(spec.model_args.get("model_path") or spec.model)


def _settings(spec: Any) -> dict[str, str]:
    return {
        "solver": str(spec.solver or ""),
        "task arguments": json.dumps(spec.task_args, sort_keys=True, default=str),
    }


def _metric(scores: Scores, header: Any, asked: Asked) -> str:
    first = header.results.scores[0].name if header.results and header.results.scores else ""
    wanted = asked.metric or first
    for name in scores.metrics:
        if wanted in (name, name.split("/")[0]):
            return name
    if asked.metric is None:
        return scores.metrics[0]
    raise DataError(f"{scores.origin}: there is no scorer `{asked.metric}` (there are: "
                    f"{', '.join(scores.metrics)}).")  # fmt: skip


def _add(scores: Scores, sample: _Sample) -> None:
    scores.items.append(sample.id)
    scores.epochs.append(sample.epoch)
    # A sample that ended with an error was not graded on its answer.
    value = None if sample.error else sample.scores.get(scores.metric)
    scores.values.append(number(value, f"{scores.origin}: sample {sample.id}", scores.metric))
    scores.contents.append(sample.content)
    scores.add_shared(sample.shared)


def _notes(scores: Scores, header: Any, samples: list[_Sample]) -> list[str]:
    what, found = f"{scores.origin.name} ({scores.model})", []
    if header.status != "success":
        found.append(f"{what}: the run did not finish (status: {header.status})")
    if header.invalidated:
        found.append(f"{what}: the log is marked as invalidated")
    if failed := sum(sample.error for sample in samples):
        found.append(f"{what}: {failed} of {len(samples)} samples ended with an error")
    planned = header.results.total_samples if header.results else len(samples)
    if planned > len(samples):
        found.append(f"{what}: has {len(samples)} of {planned} samples")
    other = [each for each in header.eval.config.epochs_reducer or [] if each != "mean"]
    if scores.epochs and other:
        found.append(
            f"{what}: inspect reduces epochs by {', '.join(other)}, here their mean counts"
        )
    return found


def _samples(path: Path, asked: Asked) -> Iterator[_Sample]:
    if path.suffix == ".json":
        rows = _json_samples(path)
    else:
        summaries = _log_module().read_eval_log_sample_summaries(str(path))
        rows = (vars(each) for each in summaries)
    for row in rows:
        flat: dict[str, Any] = {}
        for scorer, score in (row.get("scores") or {}).items():
            value = score["value"] if isinstance(score, dict) else score.value
            parts = value.items() if isinstance(value, dict) else ()
            flat |= {f"{scorer}/{key}": part for key, part in parts} or {scorer: value}
        targets = [row["target"]] if isinstance(row["target"], str) else row["target"]
        yield _Sample(
            id=str(row["id"]),
            epoch=str(row["epoch"]),
            scores=flat,
            content=digest(_question(row["input"], _MOST), *(each[:_MOST] for each in targets)),
            shared=shared(
                asked, row.get("metadata") or {}, f"{path}: sample {row['id']} has no metadata"
            ),
            error=bool(row.get("error")),
        )


def _question(prompt: Any, most: int | None = None) -> str:
    """Return the text of an input: messages have ids of their own in every run."""
    if isinstance(prompt, str):
        return prompt[:most]
    turns = [turn if isinstance(turn, dict) else turn.model_dump() for turn in prompt]
    return "\n".join(
        part[:most] if isinstance(part, str)
        else part["text"][:most] if part.get("type") == "text"
        else f"({str(part.get('type')).capitalize()})"
        for turn in turns
        for part in ([turn["content"]] if isinstance(turn["content"], str) else turn["content"])
    )  # fmt: skip


def _json_samples(path: Path, wanted: frozenset[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the samples of a ``.json`` log, or some of them, one at a time."""
    import ijson

    with path.open("rb") as stream:
        for row in ijson.items(stream, "samples.item", use_float=True):
            if wanted is None or str(row["id"]) in wanted:
                yield row


def _texts(scores: Scores, wanted: frozenset[str], asked: Asked) -> dict[str, Text]:
    del asked
    read = _json_samples if scores.origin.suffix == ".json" else _whole_samples
    found: dict[str, Text] = {}
    with _explained(scores.origin):
        for row in read(scores.origin, wanted):
            found.setdefault(str(row["id"]), _text(row))
    return found


def _whole_samples(path: Path, wanted: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Yield the first epoch of some samples of an ``.eval`` log."""
    log = _log_module()
    unread = {"messages", "events", "store", "attachments"}
    for each in log.read_eval_log_sample_summaries(str(path)):
        if str(each.id) in wanted and each.epoch == 1:
            sample = log.read_eval_log_sample(str(path), each.id, 1, exclude_fields=unread)
            yield sample.model_dump()


def _text(row: dict[str, Any]) -> Text:
    choices = (row.get("output") or {}).get("choices") or []
    answer = _question([choices[0]["message"]]) if choices else ""
    target = row["target"]
    return Text(
        _question(row["input"]), answer, target if isinstance(target, str) else ", ".join(target)
    )


def _log_module() -> Any:
    try:
        from inspect_ai import log
    except ImportError as error:
        raise ResourceError(
            "Logs of inspect_ai are read by inspect_ai, which is not installed: "
            "pip install 'mixmerge[inspect]'."
        ) from error
    return log


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what inspect_ai and ijson raise for an unreadable log into one `DataError`."""
    _log_module()
    from importlib.metadata import version

    from ijson import JSONError
    from inspect_ai._util.constants import LOG_SCHEMA_VERSION

    try:
        yield
    # inspect_ai documents no errors; these are what it raises for damaged zips, JSON and fields.
    except (zipfile.BadZipFile, JSONError, EOFError, OSError, LookupError, AssertionError,
            RuntimeError, ValueError) as error:  # fmt: skip
        installed = f"inspect_ai {version('inspect_ai')}"
        written = _version(path)
        if _newer(written):
            raise DataError(
                f"{path}: a newer inspect_ai wrote this log (format {written}; {installed} reads "
                f"up to {LOG_SCHEMA_VERSION}). Update it: pip install -U inspect_ai."
            ) from error
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200].rstrip(". ")
        raise DataError(
            f"{path}: {installed} cannot read this log, which is incomplete or not one of its own "
            f"({reason}). Copy it again, or try `inspect log recover`."
        ) from error


def _newer(version: int) -> bool:
    from inspect_ai._util.constants import LOG_SCHEMA_VERSION

    return version > int(LOG_SCHEMA_VERSION)


def _version(path: Path) -> int:
    """Return the version of a log's format, also of one that inspect_ai cannot read; 0 if lost."""
    try:
        if path.suffix == ".eval":
            with zipfile.ZipFile(path) as archive:
                return int(json.loads(archive.read("_journal/start.json"))["version"])
        with path.open(encoding="utf-8") as text:
            return int(text.read(200).split('"version":')[1].split(",")[0])
    except (OSError, ValueError, LookupError, NotImplementedError, zipfile.BadZipFile):
        return 0


FORMAT = Format(
    name="inspect",
    patterns=("*.eval", "*.json"),
    recognises=_recognises,
    read=_read,
    texts=_texts,
)
