"""A stand-alone evaluation: several models, from prompts to ``results.json``."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixmerge.errors import SpecError
from mixmerge.evaluation.backends.make import make_backend
from mixmerge.evaluation.calibration.calibrate import calibrate as try_judges
from mixmerge.evaluation.calibration.labels import read_labels
from mixmerge.evaluation.calibration.material import Material
from mixmerge.evaluation.calibration.spec import CalibrateSpec
from mixmerge.evaluation.generate import generate
from mixmerge.evaluation.generate_spec import GenerateSpec
from mixmerge.evaluation.judges.make import JudgeOf, make_judge, of_people
from mixmerge.evaluation.judging import judge
from mixmerge.evaluation.prompts import check_prompts, load_prompts
from mixmerge.evaluation.results import ModelInfo, Pair, results
from mixmerge.evaluation.spec import AxisSpec, EvaluateJob
from mixmerge.files import read_rows, write_json, write_rows, write_text
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress, named, silent
from mixmerge.records import Axis, Judge, ModelFolder, Prompt, Response, Results, Verdict
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Contrast

BASE = "base"
"""The base model's name in the results of a stand-alone evaluation."""

CARD = "judge_card.json"

TestbedPrompts = Callable[[Axis, Literal["dev", "test"], Sequence[str]], Sequence[Prompt]]
"""The testbed's prompts of an axis and a split, at least in these languages."""


@dataclass(frozen=True)
class _Model:
    """One model of a job."""

    name: str
    path: Path | None
    generate: GenerateSpec
    identity: str
    """Of whatever changes its answers, besides prompts and decoding."""


def evaluate(
    job: EvaluateJob,
    out: Path,
    *,
    folder: Path = Path(),
    testbed_prompts: TestbedPrompts | None = None,
    rule_judges: Mapping[str, Judge] | None = None,
    progress: Progress = silent,
) -> Results:
    """Let models answer, judge the answers, and write ``results.json`` with all that led to it.

    ``out`` gets ``job.json`` (what was asked, decoding included), ``prompts/AXIS.jsonl``,
    ``answers/MODEL/AXIS.jsonl``, ``verdicts/MODEL/AXIS.jsonl`` and ``results.json``. Called again,
    it goes on where it stopped: what was made from the same inputs is not made again.

    Args:
        job: models, prompts, judges and statistics.
        out: the folder to write.
        folder: what relative paths in ``job`` are relative to.
        testbed_prompts: where ``{testbed: SPLIT}`` prompt sets come from.
        rule_judges: judges by the name in ``{rules: NAME}``.
        progress: hears of answers and judge calls.

    Raises:
        UserError: prompts, models, judges or the sample do not allow the evaluation.
    """
    models = _models(job, folder)
    prompts, judges = _axes(job, out, folder, testbed_prompts, rule_judges)
    trial = job.evaluate.calibrate
    if trial is not None:
        _check_trial(trial, job, folder, prompts, rule_judges)
    asked_of = {axis: spec.judge.meaning() for axis, spec in job.evaluate.axes().items()}
    answers: dict[str, dict[Axis, list[Response]]] = {}
    verdicts: dict[str, dict[Axis, list[Verdict]]] = {}
    for model in models:
        name = model.name
        answers[name] = _answers(job, model, prompts, out, progress)
        verdicts[name] = {
            axis: _verdicts(
                axis,
                asked,
                answers[name][axis],
                answers[BASE][axis],
                judges[axis](name),
                asked_of[axis],
                out,
                name,
                named(progress, f"{name}, {axis}"),
            )
            for axis, asked in prompts.items()
            if axis != "general" or name != BASE
        }
    found = results(
        out.name,
        BASE,
        _infos(job),
        verdicts,
        _contrasts(job),
        answers={name: rows["general"] for name, rows in answers.items()},
        seed=job.evaluate.seed,
        draws=job.evaluate.draws,
    )
    write_json(out / "results.json", found.model_dump(mode="json"))
    if trial is not None:
        materials = [
            Material(
                axis,
                judges[axis](BASE),
                asked,
                {name: rows[axis] for name, rows in answers.items()},
                BASE,
                {name: rows[axis] for name, rows in verdicts.items() if axis in rows},
            )
            for axis, asked in prompts.items()
        ]
        _try_judges(trial, job, out, folder, materials, rule_judges, found.contrasts, progress)
    else:
        (out / CARD).unlink(missing_ok=True)  # of an earlier specification
    return found


def calibrate(
    job: EvaluateJob,
    out: Path,
    *,
    folder: Path = Path(),
    testbed_prompts: TestbedPrompts | None = None,
    rule_judges: Mapping[str, Judge] | None = None,
    progress: Progress = silent,
) -> JudgeCard:
    """Put the judges on trial before they judge everything, and write ``judge_card.json``.

    All models answer all prompts, and the judges are asked only about the answers that have a
    label, and the probes. `evaluate` then asks nothing again.

    Args:
        job: models, prompts and judges, with a section ``calibrate``.
        out: the folder to write, the same as for `evaluate`.
        folder: what relative paths in ``job`` are relative to.
        testbed_prompts: where ``{testbed: SPLIT}`` prompt sets come from.
        rule_judges: judges by the name in ``{rules: NAME}``.
        progress: hears of answers and judge calls.

    Raises:
        UserError: prompts, models, judges or labels do not allow the trial.
    """
    trial = job.evaluate.calibrate
    if trial is None:
        raise SpecError(
            "`evaluate` needs a section `calibrate` that says where the labels come from, e.g. "
            "`calibrate: {rules: testbed}` or `calibrate: {labels: labels.jsonl}`."
        )
    prompts, judges = _axes(job, out, folder, testbed_prompts, rule_judges)
    _check_trial(trial, job, folder, prompts, rule_judges)
    answers = {
        model.name: _answers(job, model, prompts, out, progress) for model in _models(job, folder)
    }
    materials = [
        Material(
            axis,
            judges[axis](BASE),
            asked,
            {name: rows[axis] for name, rows in answers.items()},
            BASE,
        )
        for axis, asked in prompts.items()
    ]
    return _try_judges(trial, job, out, folder, materials, rule_judges, (), progress)


def _models(job: EvaluateJob, folder: Path) -> list[_Model]:
    """Return the models with their identities, the base model first."""
    models = []
    for name, model in {BASE: job.base, **job.models}.items():
        path = None if model.path is None else folder / model.path
        spec = (model.generate or job.evaluate.generate).serving(name)
        files = None if path is None else ModelFolder(path).fingerprint()
        models.append(_Model(name, path, spec, fingerprint([files, spec.meaning()])))
    return models


def _axes(
    job: EvaluateJob,
    out: Path,
    folder: Path,
    testbed_prompts: TestbedPrompts | None,
    rule_judges: Mapping[str, Judge] | None,
) -> tuple[dict[Axis, list[Prompt]], dict[Axis, JudgeOf]]:
    """Return prompts and judges by axis; what is asked and the prompts are written down."""
    write_json(out / "job.json", job.model_dump(mode="json"))
    prompts: dict[Axis, list[Prompt]] = {}
    judges: dict[Axis, JudgeOf] = {}
    for axis, spec in job.evaluate.axes().items():
        prompts[axis] = _prompts(axis, spec, job, folder, testbed_prompts)
        judges[axis] = make_judge(
            spec.judge, out / "judge_calls.jsonl", folder=folder, rule_judges=rule_judges
        )
        write_rows(out / "prompts" / f"{axis}.jsonl", prompts[axis])
    return prompts, judges


def _check_trial(
    spec: CalibrateSpec,
    job: EvaluateJob,
    folder: Path,
    prompts: Mapping[Axis, Sequence[Prompt]],
    rule_judges: Mapping[str, Judge] | None,
) -> None:
    """Find what would stop the judges' trial before answers and verdicts are paid for."""
    for axis, asked in job.evaluate.axes().items():
        if of_people(asked.judge):
            raise SpecError(
                f"{axis}: `calibrate` asks a judge about probes and labelled answers, which people "
                "cannot be asked here. Leave `calibrate` out, or name a judge model."
            )
    if spec.labels is not None:
        read_labels(folder / spec.labels, prompts, [BASE, *job.models])
    elif spec.rules not in (rule_judges or {}):
        raise SpecError("calibrate: this call cannot reach the testbed's rules; give `labels`.")


def _try_judges(
    spec: CalibrateSpec,
    job: EvaluateJob,
    out: Path,
    folder: Path,
    materials: Sequence[Material],
    rule_judges: Mapping[str, Judge] | None,
    contrasts: Sequence[Contrast],
    progress: Progress,
) -> JudgeCard:
    card = try_judges(
        spec,
        materials,
        rules=(rule_judges or {}).get(spec.rules) if spec.rules else None,
        folder=folder,
        contrasts=contrasts,
        seed=job.evaluate.seed,
        draws=job.evaluate.draws,
        progress=progress,
    )
    write_json(out / CARD, card.model_dump(mode="json"))
    return card


def _prompts(
    axis: Axis,
    spec: AxisSpec,
    job: EvaluateJob,
    folder: Path,
    testbed_prompts: TestbedPrompts | None,
) -> list[Prompt]:
    split = spec.prompts.testbed
    if split is None:
        return load_prompts(spec.prompts, job.languages, folder=folder)
    if testbed_prompts is None:
        raise SpecError(f"{axis}: this call cannot reach the testbed's prompts; give `files`.")
    known = testbed_prompts(axis, split, job.languages)
    prompts = [prompt for prompt in known if prompt.language in job.languages]
    check_prompts(prompts, job.languages, f"testbed ({split}), {axis}")
    return prompts


def _answers(
    job: EvaluateJob,
    model: _Model,
    prompts: Mapping[Axis, Sequence[Prompt]],
    out: Path,
    progress: Progress,
) -> dict[Axis, list[Response]]:
    """Return a model's answers on every axis; it is loaded once, and not for what is there."""
    decoding = job.evaluate.decoding
    backend = make_backend(
        model.generate,
        model.path,
        calls=out / "generate_calls.jsonl",
        placement=job.placement,
    )
    answers: dict[Axis, list[Response]] = {}
    with closing(backend):
        for axis, asked in prompts.items():
            path = out / "answers" / model.name / f"{axis}.jsonl"
            rows = [prompt.model_dump() for prompt in asked]
            key = fingerprint([model.identity, decoding.model_dump(), rows])
            if _is_made_from(path, key):
                answers[axis] = read_rows(path, Response)
                continue
            _forget(path)
            say = named(progress, f"{model.name}, {axis}")
            answers[axis] = generate(backend, asked, decoding, path, progress=say)
            _mark_made_from(path, key)
    return answers


def _verdicts(
    axis: Axis,
    prompts: Sequence[Prompt],
    answers: Sequence[Response],
    base_answers: Sequence[Response],
    by: Judge,
    asked_of: Mapping[str, Any],
    out: Path,
    name: str,
    progress: Progress,
) -> list[Verdict]:
    path = out / "verdicts" / name / f"{axis}.jsonl"
    read: list[Any] = [*prompts, *answers, *(base_answers if axis == "general" else ())]
    # The name says whose files and rubrics, the settings how they are asked.
    key = fingerprint([axis, by.name, asked_of, [row.model_dump() for row in read]])
    if _is_made_from(path, key):
        verdicts = read_rows(path, Verdict)
        # A failed call deserves another try; its neighbours come from the judge's journal.
        if all(verdict.outcome != "error" for verdict in verdicts):
            return verdicts
    _forget(path)
    verdicts = judge(
        axis, prompts, answers, by=by, out=path, base_answers=base_answers, progress=progress
    )
    _mark_made_from(path, key)
    return verdicts


def _is_made_from(path: Path, key: str) -> bool:
    mark = path.with_suffix(".key")
    return path.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == key


def _forget(path: Path) -> None:
    """Take an earlier file's mark away: a kill would leave it beside a file of other inputs."""
    path.with_suffix(".key").unlink(missing_ok=True)


def _mark_made_from(path: Path, key: str) -> None:
    write_text(path.with_suffix(".key"), key)


def _infos(job: EvaluateJob) -> dict[str, ModelInfo]:
    infos = {BASE: ModelInfo(kind="base")}
    for name, model in job.models.items():
        infos[name] = ModelInfo(kind=model.kind, stage=model.stage, method=model.method)
    return infos


def _contrasts(job: EvaluateJob) -> list[Pair]:
    baseline = job.evaluate.baseline
    if baseline is None:
        return []
    return [(name, baseline, "primary") for name in job.models if name != baseline]
