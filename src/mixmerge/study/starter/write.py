"""``mixmerge init``: write a first study that `mixmerge plan` accepts as it is."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mixmerge.errors import SpecError
from mixmerge.files import write_text
from mixmerge.mixing.spec import Form
from mixmerge.study.checkpoints import NAME
from mixmerge.study.memory import gpus
from mixmerge.study.starter import choose, look
from mixmerge.study.starter.choose import quoted
from mixmerge.study.starter.look import DataLook, PromptLook
from mixmerge.testbed.model import BASES, TESTBED

_LAPTOP_ROWS = 400
"""Most rows of a training without a GPU, so that it takes minutes and not hours."""
_METHODS: dict[Form, str] = {"conversations": "sft", "preferences": "dpo", "labelled": "kto"}
"""What trains on rows of each form; see the table of objectives in the documentation."""
ENDPOINT = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Started:
    """The files that `init` wrote."""

    study: Path
    text: str
    files: list[Path]
    """Files of held-out prompts."""
    notes: list[str]
    """What the files hold and what `init` chose, a sentence each."""


@dataclass
class _Draft:
    """The sections of a study as lines of YAML."""

    name: str
    base: str
    languages: list[str]
    notes: list[str]
    sections: dict[str, list[str]] = field(default_factory=dict)
    checkpoints: dict[str, str] = field(default_factory=dict)
    baseline: str | None = None
    answer_tokens: int = 512

    def section(self, title: str, *lines: str) -> None:
        self.sections.setdefault(title, []).extend(lines)


def init(
    out: Path | str = Path("study.yaml"),
    *,
    models: Mapping[str, str] | None = None,
    data: Mapping[str, Path | str] | None = None,
    evaluate: Mapping[str, Path | str] | None = None,
    base: str | None = None,
    language: str | None = None,
    metric: str = "auto",
    judge: str | None = None,
    judge_url: str = ENDPOINT,
    gpu_memory: float | None = None,
    lora: bool | None = None,
    force: bool = False,
) -> Started:
    """Write a first study about models or data files that exist.

    Reads every row of the files. Without evaluation prompts, a part of the data is held out, or a
    published set is used.

    Args:
        out: The study file.
        models: Folders or hub names of models that exist, by name.
        data: Files of training rows, by name: an expert of each is trained, and a mix of all.
        evaluate: Files of evaluation prompts, by the axis's name.
        base: The model that the others were fine-tuned from, or that is trained; by default the
            testbed's tiny model, if no model is given.
        language: The language of rows that do not state theirs; English by default.
        metric: One of ``auto``, ``exact_match``, ``f1``, ``numeric`` and ``judge``.
        judge: The name of a judge model, at ``judge_url``.
        judge_url: An OpenAI-compatible endpoint.
        gpu_memory: Gigabytes of the GPU; by default of this machine's smallest.
        lora: Train LoRA adapters, or all weights; None chooses by the GPU's memory.
        force: Replace files that exist.

    Raises:
        SpecError: there is no model and no data, a file exists already, or a name is invalid.
        DataError: a data file cannot be read.
    """
    out = Path(out)
    models = dict(models or {})
    files = {name: Path(file) for name, file in (data or {}).items()}
    _check(out, models, files, evaluate or {}, base, force=force)
    looks = [look.look_at_data(name, file) for name, file in files.items()]
    seen = {each.form for each in looks}
    if len(seen) > 1:  # one recipe trains them all
        form: Form = "conversations" if "conversations" in seen else "labelled"
        looks = [look.look_at_data(each.name, each.file, forms=(form,)) for each in looks]
    axes = [
        look.look_at_prompts(name, Path(file), _beside(out, name), language)
        for name, file in (evaluate or {}).items()
    ]
    languages = _languages(looks, axes, language)
    look.in_language(looks, languages[0])
    axes += [
        look.hold_out(each, languages, _beside(out, each.name))
        for each in looks
        if each.name not in (evaluate or {})
    ]
    if looks and gpu_memory is None:
        gpu_memory = min((size / 1e9 for _, size in gpus()), default=None)
    name = out.stem if re.fullmatch(NAME, out.stem) else "study"
    draft = _Draft(
        name, base or TESTBED, languages, [said for each in looks for said in each.lines()]
    )
    if looks:
        _train(draft, looks, axes, gpu_memory, lora)
    _merge(draft, models)
    _evaluate(draft, axes, metric, judge, judge_url)
    text = _text(draft, out)
    written = [axis for axis in axes if axis.rows]
    _accepted(text, written, out, force=force)
    return Started(out, text, [axis.file for axis in written], draft.notes)


def _beside(out: Path, name: str) -> Path:
    return out.with_name(f"{out.stem}-eval") / f"{name}.jsonl"


def _check(
    out: Path,
    models: Mapping[str, str],
    data: Mapping[str, Path],
    evaluate: Mapping[str, Path | str],
    base: str | None,
    *,
    force: bool,
) -> None:
    if not models and not data:
        raise SpecError(
            "there is nothing to study yet: name models that exist (`--model NAME=FOLDER`, with "
            "`--base FOLDER`) or data files (`--data NAME=FILE`)."
        )
    for name in [*models, *data, *evaluate]:
        if not re.fullmatch(NAME, name):
            raise SpecError(f"{name!r}: a name has letters, digits, `_`, `.` and `-` only.")
    both = sorted({*models} & {*data})
    if both:
        raise SpecError(f"`{both[0]}` names a model and a data file: give them different names.")
    if models and base is None:
        raise SpecError(
            "`--base` is missing: the model that the others were tuned from, a folder or a name on "
            "the hub. It is measured too, and merges count changes from it."
        )
    for name, model in models.items():
        if model.startswith((".", "/", "~")) and not Path(model).expanduser().is_dir():
            raise SpecError(f"--model {name}={model}: no such folder.")
    if out.exists() and not force:
        raise SpecError(f"{out}: exists already; give another name, or `--force` to replace it.")


def _languages(
    looks: Sequence[DataLook], axes: Sequence[PromptLook], asked: str | None
) -> list[str]:
    """Return the study's languages: the data's or, if it states none, the given or default one.

    Raises:
        SpecError: the files have no language in common.
    """
    if asked is not None:
        return [asked]
    said = [own for own in [*(x.languages for x in looks), *(x.languages for x in axes)] if own]
    if not said:
        return ["en"]
    common = [language for language in said[0] if all(language in own for own in said)]
    if not common:
        listed = ", ".join(sorted({language for own in said for language in own}))
        raise SpecError(
            f"no language is in all files (seen: {listed}): name one with `--language`, or leave "
            "out the files in others."
        )
    return common


def _train(
    draft: _Draft,
    looks: Sequence[DataLook],
    axes: Sequence[PromptLook],
    gpu_memory: float | None,
    lora: bool | None,
) -> None:
    """Add the data, mixtures of one size, a recipe, an expert on each file and a mix of all."""
    counts = look.supply(looks, axes, draft.languages)
    scarcest, language = min(counts, key=lambda cell: counts[cell])
    most = counts[scarcest, language] * len(draft.languages)
    if most == 0:
        raise SpecError(
            f"{scarcest}: no row in `{language}` is left to train on without duplicates and what "
            "the evaluation asks: give more rows, or another file as `--eval`."
        )
    size = most if gpu_memory is not None else min(most, _LAPTOP_ROWS)
    for each in looks:
        origin = f"files: {quoted(str(each.file))}{_own(each, draft)}"
        comment = f"# read as {each.loaded.read_as}; {len(each.rows):,} rows"
        draft.section("data", comment, f"{each.name}: {{{origin}}}")
    names = [each.name for each in looks]
    alone = len(names) == 1
    same = "" if alone else "all of one size, so that only the data differ; "
    draft.section("mixtures", f"# {same}{scarcest} has {most:,} rows besides the held-out ones")
    mixtures = {f"only-{name}": f"{name}: 1" for name in names}
    mix = choose.free("mix", dict.fromkeys(names, ""))
    if not alone:
        mixtures[mix] = ", ".join(f"{name}: 1" for name in names)
    for mixture, shares in mixtures.items():
        draft.section("mixtures", f"{mixture}: {{size: {size}, shares: {{{shares}}}}}")
    method = _METHODS[looks[0].form]
    tokens = max(look.longest(each.rows) for each in looks) // 3 + 32
    chosen = choose.training(draft.base, size, method, gpu_gb=gpu_memory, lora=lora, tokens=tokens)
    context = choose.context_of(draft.base)
    recipe = f"method: {method}, learning_rate: {chosen.learning_rate}, epochs: {chosen.epochs}"
    recipe += f", batch_size: {chosen.batch_size}"
    recipe += f", adapter: {chosen.adapter}" if chosen.adapter else ""
    if context is not None and tokens * 2 > context:
        recipe += ", overlong: drop"
        draft.notes.append(
            f"Rows longer than the model's {context:,} tokens are left out, counted."
        )
    draft.section("training", f"# {chosen.why}", f"{method}: {{{recipe}}}")
    for name in names:
        draft.checkpoints[name] = f"{{train: {method}, mixture: only-{name}}}"
    if alone:
        half = f"{{merge: {{method: task_arithmetic, models: {{{names[0]}: 0.5}}}}}}"
        draft.checkpoints[choose.free("halfway", draft.checkpoints)] = half
    else:
        draft.checkpoints[mix] = f"{{train: {method}, mixture: {mix}}}"
        draft.baseline = mix
        draft.checkpoints |= choose.merges(names, draft.checkpoints)
    if chosen.per_device is not None:
        draft.section("placement", "# rows on the GPU at once; halved where its memory is full")
        at_once = max(chosen.per_device, 2 if method == "kto" else 1)
        draft.section("placement", f"train: {{per_device_batch: {at_once}}}")
    draft.notes.append(f"Training: {method.upper()}, {size:,} rows for each model ({chosen.why}).")
    if size < most:
        draft.notes.append(
            f"`size` is {size:,} to be quick without a GPU; {most:,} rows are there."
        )


def _own(each: DataLook, draft: _Draft) -> str:
    """Return a source's settings beside its file: to drop broken rows, or the rows' language."""
    unsaid = len(draft.languages) > 1 and not each.languages
    language = f", language: {draft.languages[0]}" if unsaid else ""
    return language + (", broken: drop" if each.loaded.broken else "")


def _merge(draft: _Draft, models: Mapping[str, str]) -> None:
    draft.checkpoints |= {name: quoted(model) for name, model in models.items()}
    if len(models) > 1:
        draft.checkpoints |= choose.merges([*models], draft.checkpoints)


def _evaluate(
    draft: _Draft, axes: Sequence[PromptLook], metric: str, judge: str | None, url: str
) -> None:
    rewarded: list[str] = []
    for axis in axes:
        measured, why = choose.measured(axis, metric, judge, url)
        columns = f", columns: {{accepted: {quoted(axis.accepted)}}}" if axis.accepted else ""
        prompts = f"prompts: {{files: {quoted(str(axis.file))}{columns}}}"
        draft.section("axes", f"# {axis.comment};", f"# {why}")
        draft.section("axes", f"{axis.name}: {{{prompts}, {measured}}}")
        if axis.answers and "endpoint" not in measured and "training" in draft.sections:
            rewarded.append(f"{axis.name}: 1")
        draft.notes.append(f"Axis {axis.name}: {axis.comment}; {why}.")
        if axis.count < look.LEAST_PROMPTS:
            few = f"{axis.count} prompts are too few to decide anything"
            draft.notes.append(
                f"Axis {axis.name}: {few}: use at least {look.LEAST_PROMPTS}, better hundreds."
            )
    if rewarded:
        said = "# then answers that are checked can be rewarded: another recipe, with `start`:"
        draft.section(
            "training", said, f"# rl: {{method: grpo, reward: {{{', '.join(rewarded)}}}}}"
        )
    draft.answer_tokens = choose.answer_tokens(axes)
    if not axes:
        open_ended = PromptLook("general", Path("dolly200"), 200)
        measured, why = choose.measured(open_ended, "judge", judge, url)
        said = "no prompts were given, so these are 200 open questions of a published set"
        draft.section(
            "axes", f"# {said}; {why}", f"general: {{prompts: {{set: dolly200}}, {measured}}}"
        )
        draft.notes.append(f"Axis general: {said}; {why}. Your own: `--eval NAME=FILE`.")


def _text(draft: _Draft, out: Path) -> str:
    tiny = draft.base in BASES
    about = " # the tiny model that ships with mixmerge: put in your own folder or hub name"
    lines = [
        f"# See what it would do: mixmerge plan {out}. Do it: mixmerge run {out}",
        f"study: {quoted(draft.name)}",
        f"base: {quoted(draft.base)}{about if tiny else ''}",
    ]
    if draft.languages != ["en"]:
        lines.append(f"languages: [{', '.join(map(quoted, draft.languages))}]")
    for title in ("data", "mixtures", "training"):
        if title in draft.sections:
            lines += ["", f"{title}:", *(f"  {line}" for line in draft.sections[title])]
    lines += ["", "checkpoints: # what is compared, besides the base model"]
    for name, said in draft.checkpoints.items():
        first_merge = "{merge:" in said and "{merge:" not in lines[-1]
        lines += ["  # merges: no further training"] if first_merge else []
        lines.append(f"  {name}: {said}")
    lines += ["", "evaluate:", "  axes: # what models are measured on; any number, any names"]
    lines += [f"    {line}" for line in draft.sections["axes"]]
    if draft.baseline:
        lines.append(f"  baseline: {draft.baseline} # the model that merges must beat")
    elif not draft.sections.get("data"):
        lines.append("  # baseline: NAME # the model that merges must beat; by default the base")
    lines.append(
        f"  decoding: {{max_new_tokens: {draft.answer_tokens}}} # longer answers are cut off"
    )
    if "placement" in draft.sections:
        lines += ["", "placement:", *(f"  {line}" for line in draft.sections["placement"])]
    return "\n".join(lines) + "\n"


def _accepted(text: str, written: Sequence[PromptLook], out: Path, *, force: bool) -> None:
    """Write the study and its prompts, if `mixmerge plan` accepts them.

    Raises:
        SpecError: a file exists already.
    """
    from mixmerge.study.explain import explain

    for axis in written:
        if axis.file.exists() and not force:
            raise SpecError(f"{axis.file}: exists already; `--force` replaces it.")
    there = text
    with TemporaryDirectory() as folder:
        for number, axis in enumerate(written):
            trial = Path(folder, f"{number}.jsonl")
            write_text(trial, _json_lines(axis))
            there = there.replace(f"files: {quoted(str(axis.file))}", f"files: {trial}")
        study = Path(folder, out.name)
        write_text(study, there)
        plan = explain(study, Path(folder, "run"))
        if plan.errors:
            raise SpecError("\n".join(plan.errors).replace(str(study), str(out)))
    for axis in written:
        write_text(axis.file, _json_lines(axis))
    write_text(out, text)


def _json_lines(axis: PromptLook) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in axis.rows)
