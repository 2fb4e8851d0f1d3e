"""What each kind of step does: it hands the step's settings and folders to the part of its name."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from mixmerge.errors import ModelError, ResourceError
from mixmerge.execution.engines import helpers_here
from mixmerge.execution.environment import CORES
from mixmerge.execution.step import Task
from mixmerge.execution.worker import Handler
from mixmerge.files import read_json, read_rows, write_json, write_rows
from mixmerge.progress import Progress
from mixmerge.records import Axis, Judge, ModelFolder, Prompt, Response
from mixmerge.study.selection import select

BASE = "base"
MODEL = "model"
POINTER = "model.json"
ROWS = "rows.jsonl"


def model_path(folder: Path) -> Path:
    """Return the model of a step's folder: its own, or the one it points to outside the run."""
    pointer = folder / POINTER
    return folder / read_json(pointer)["path"] if pointer.is_file() else folder / MODEL


def base(task: Task, progress: Progress) -> dict[str, Any]:
    """Make the base model available: written from the package, checked, or fetched from the hub."""
    origin = task.settings["from"]
    progress(0, 1, origin)
    if origin == "testbed":
        from mixmerge.testbed.model import write_model

        write_model(task.folder / MODEL)
    elif origin == "folder":
        write_json(task.folder / POINTER, {"path": str(task.files["model"])})
    else:
        write_json(task.folder / POINTER, {"path": str(_fetch(task.settings))})
    path = model_path(task.folder)
    outside = [str(path)] if path.parent != task.folder else []
    return {"architecture": ModelFolder(path).config.get("architectures"), "outside": outside}


def _fetch(settings: Mapping[str, Any]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    name, revision = settings["name"], settings["revision"]
    try:
        return Path(snapshot_download(name, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"base: `{name}` is no folder here and could not be fetched from the hub: {error}. "
            "Check the name, the network and your access token, or give a folder."
        ) from error


def data(task: Task, progress: Progress) -> dict[str, Any]:
    """Write the testbed's rows of one source."""
    from mixmerge.testbed.data import preference_pairs

    progress(0, 1, "rows")
    name = task.settings["name"]
    rows = preference_pairs(task.settings["testbed"], task.settings["languages"])
    rows = [row.model_copy(update={"source": name}) for row in rows]
    write_rows(task.folder / ROWS, rows)
    return {"rows": len(rows)}


def prompts(task: Task, progress: Progress) -> dict[str, Any]:
    """Write the prompts of one axis in the study's languages."""
    progress(0, 1, "prompts")
    settings = dict(task.settings)
    axis, languages = settings.pop("axis"), settings.pop("languages")
    if "testbed" in settings:
        from mixmerge.evaluation.prompts import check_prompts
        from mixmerge.testbed.data import prompts as testbed_prompts

        known = testbed_prompts(axis, settings["testbed"], languages)
        rows = [prompt for prompt in known if prompt.language in languages]
        check_prompts(rows, languages, "testbed")
    else:
        from mixmerge.evaluation.prompts import load_prompts
        from mixmerge.evaluation.spec import PromptSetSpec

        described = _with_paths(settings, task.files)
        if described.get("hub") == "folder":
            described["hub"] = str(task.files["hub"])
        rows = load_prompts(PromptSetSpec(**described), languages)
    write_rows(task.folder / ROWS, rows)
    by_machine = sum(row.translated == "machine" for row in rows)
    clusters = len({row.cluster for row in rows})
    return {"rows": len(rows), "clusters": clusters, "machine_translated": by_machine}


def _with_paths(settings: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Put paths back where the step's settings name roles."""
    filled = dict(settings)
    asked = filled.get("files")
    if isinstance(asked, dict):
        filled["files"] = {language: files[role] for language, role in asked.items()}
    elif asked is not None:
        filled["files"] = [files[role] for role in asked]
    return filled


def mix(task: Task, progress: Progress) -> dict[str, Any]:
    """Write one mixture and its manifest."""
    from mixmerge.mixing.materialise import mix as run
    from mixmerge.mixing.spec import MixSpec

    settings = dict(task.settings)
    sources: dict[str, Any] = {}
    for name, described in settings.pop("sources").items():
        if described.get("input"):
            sources[name] = {"files": task.inputs[f"source:{name}"] / ROWS}
            continue
        sources[name] = _with_paths(described, task.files)
        if described.get("hub") == "folder":
            sources[name]["hub"] = str(task.files[f"{name}:hub"])
    held_out = [folder / ROWS for folder in _inputs(task, "held_out").values()]
    tokenizer = model_path(task.inputs["tokenizer"]) if "tokenizer" in task.inputs else None
    spec = MixSpec(sources=sources, held_out=held_out, tokenizer=tokenizer, **settings)
    manifest = run(spec, task.folder, progress=progress)
    return {"rows": manifest.rows, "characters": sum(s.characters for s in manifest.shares)}


def train(task: Task, progress: Progress) -> dict[str, Any]:
    """Train one checkpoint."""
    from mixmerge.training.run import train as run
    from mixmerge.training.spec import PlacementSpec, TrainSpec

    report = run(
        TrainSpec(**task.settings),
        model=model_path(task.inputs["model"]),
        rows=task.inputs["rows"] / ROWS,
        out=task.folder,
        placement=PlacementSpec(**_within_cores(task.placement)),
        reference_cache=task.cache / "reference",
        progress=progress,
    )
    used = sum(count.used for count in report.rows.values())
    return {"tokens": report.tokens, "rows": used, "steps": report.steps}


def _within_cores(placement: Mapping[str, Any]) -> dict[str, Any]:
    """Lower the threads that a placement asks for to the cores that the engine has for the step."""
    asked = dict(placement)
    cores = os.environ.get(CORES)
    if cores and asked.get("threads"):
        share = max(1, int(cores) // asked.get("devices", 1))
        asked["threads"] = min(asked["threads"], share)
    return asked


def merge(task: Task, progress: Progress) -> dict[str, Any]:
    """Merge checkpoints."""
    from mixmerge.merging.engine import merge as run
    from mixmerge.merging.spec import MergeSpec

    settings = dict(task.settings)
    seed = settings.pop("seed")
    paths = {name: model_path(folder) for name, folder in task.inputs.items()}
    recipe = MergeSpec(**settings).to_recipe(paths, paths["base"])
    run(
        recipe,
        task.folder / MODEL,
        seed=seed,
        threads=1,
        helpers=helpers_here(),
        progress=progress,
    )
    return {}


def generate(task: Task, progress: Progress) -> dict[str, Any]:
    """Let one model answer the prompts of every axis."""
    from pydantic import TypeAdapter

    from mixmerge.evaluation.backends.make import make_backend
    from mixmerge.evaluation.generate import generate as run
    from mixmerge.evaluation.generate_spec import GenerateSpec
    from mixmerge.evaluation.spec import DecodingSpec, PlacementSpec

    settings, placement = dict(task.settings), _within_cores(task.placement)
    settings.pop("generate", None)
    spec: GenerateSpec = TypeAdapter(GenerateSpec).validate_python(placement.pop("generate", {}))
    backend = make_backend(
        spec,
        model_path(task.inputs["model"]),
        calls=task.cache / "generate" / f"{task.name}.jsonl",
        placement=PlacementSpec(**placement),
    )
    asked = {axis: read_rows(file, Prompt) for axis, file in _prompt_files(task).items()}
    total = sum(map(len, asked.values()))
    answers: list[Response] = []
    with closing(backend):
        for axis, rows in asked.items():
            before = len(answers)
            answers += run(
                backend,
                rows,
                DecodingSpec(**settings),
                task.folder / f"{axis}.jsonl",
                progress=lambda done, _, what, at=before: progress(at + done, total, what),
            )
    reasons = Counter(answer.finish_reason for answer in answers)
    tokens = sum(answer.tokens for answer in answers)
    return {"answers": total, "tokens": tokens, "finished": dict(sorted(reasons.items()))}


def _prompt_files(task: Task) -> dict[Axis, Path]:
    return {cast("Axis", axis): folder / ROWS for axis, folder in _inputs(task, "prompts").items()}


def _inputs(task: Task, group: str) -> dict[str, Path]:
    """Return the folders of the inputs whose role is ``group:name``, by name."""
    start = f"{group}:"
    return {
        role.removeprefix(start): folder
        for role, folder in task.inputs.items()
        if role.startswith(start)
    }


def judge(task: Task, progress: Progress) -> dict[str, Any]:
    """Judge one model's answers on every axis; the base model is not compared with itself."""
    from mixmerge.evaluation.judging import judge as run

    is_base = task.inputs["answers"] == task.inputs["base_answers"]
    counted = {}
    for axis, file in _prompt_files(task).items():
        if axis == "general" and is_base:
            continue
        verdicts = run(
            axis,
            read_rows(file, Prompt),
            read_rows(task.inputs["answers"] / f"{axis}.jsonl", Response),
            base_answers=read_rows(task.inputs["base_answers"] / f"{axis}.jsonl", Response),
            by=judge_for(
                task.placement[axis], task.cache / "judge" / f"{task.name}.jsonl", task.name
            ),
            out=task.folder / f"{axis}.jsonl",
            progress=progress,
        )
        counted[axis] = len(verdicts)
        failed = [verdict for verdict in verdicts if verdict.outcome == "error"]
        if failed:
            raise ResourceError(
                f"{axis}: {len(failed)} of {len(verdicts)} judge calls failed "
                f"({failed[0].reason}). The same command asks only these again."
            )
    return {"verdicts": counted}


def judge_for(spec: Mapping[str, Any], journal: Path, model: str = BASE) -> Judge:
    """Return the judge that a specification describes.

    Args:
        spec: A `JudgeSpec` as plain data.
        journal: File of the finished calls to a judge model; none of them is made again.
        model: Whose answers it is to judge: people's verdicts stand in a folder for each model.
    """
    from pydantic import TypeAdapter

    from mixmerge.evaluation.judges.make import make_judge
    from mixmerge.evaluation.spec import JudgeSpec
    from mixmerge.testbed.judge import RuleJudge

    described: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec)
    return make_judge(described, journal, rule_judges={"testbed": RuleJudge()})(model)


def results(task: Task, progress: Progress) -> dict[str, Any]:
    """Compute ``results.json`` from all verdicts."""
    from mixmerge.study.collect import compute_results

    groups = (_inputs(task, group) for group in ("verdicts", "trained", "answers"))
    found = compute_results(task.settings, *groups, progress=progress)
    write_json(task.folder / "results.json", found.model_dump(mode="json"))
    return {"models": len(found.models)}


def calibrate(task: Task, progress: Progress) -> dict[str, Any]:
    """Put the judges on trial and write the judge card."""
    from mixmerge.study.calibration import axes_of, put_on_trial

    journal = task.cache / "judge" / "calibrate.jsonl"
    judges = {axis: judge_for(task.placement[axis], journal) for axis in axes_of(task)}
    return put_on_trial(task, judges, progress)


def report(task: Task, progress: Progress) -> dict[str, Any]:
    """Write tables, figures and the page."""
    from mixmerge.reporting.write import write_report
    from mixmerge.study.collect import gather
    from mixmerge.study.spec import Study

    study = Study.model_validate(task.settings["study"])
    written = task.folder.parents[1] / "study.yaml"
    text = written.read_text(encoding="utf-8") if written.is_file() else ""
    write_report(gather(study, task.inputs, study_file=text), task.folder, progress=progress)
    return {}


HANDLERS: Mapping[str, Handler] = {
    "base": base,
    "data": data,
    "prompts": prompts,
    "mix": mix,
    "train": train,
    "merge": merge,
    "select": select,
    "generate": generate,
    "judge": judge,
    "results": results,
    "calibrate": calibrate,
    "report": report,
}

# Steps read local folders; nothing here may ask a hub behind the user's back.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
