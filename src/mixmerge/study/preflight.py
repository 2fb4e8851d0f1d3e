"""Check what a run needs before it starts, when a mistake still costs nothing.

All findings are reported together. Errors that would stop the run later, perhaps after hours of
training, stop it now; warnings are reported once and the run continues.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.errors import SpecError, UserError
from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Step, needed_for
from mixmerge.files import existing_parent
from mixmerge.mixing.sources import Loaded, load
from mixmerge.mixing.spec import SourceSpec
from mixmerge.records import ModelFolder, Prompt
from mixmerge.spec_model import quoted
from mixmerge.stats.estimate import MIN_CLUSTERS, MIN_VALUES
from mixmerge.study.memory import memory_warnings, model_size, source_folder
from mixmerge.study.packages import missing_packages
from mixmerge.study.probe import missing_keys, needed_endpoints, unanswered
from mixmerge.study.resolution import too_few
from mixmerge.study.rounds import SELECTION
from mixmerge.study.scored import Weight, scored_problems, unknown_tasks
from mixmerge.study.spec import BASE, Study
from mixmerge.study.spec_file import read_extended, where
from mixmerge.study.steps.generate_data import GenerateData
from mixmerge.study.steps.given import whole_model
from mixmerge.study.steps.kind import with_paths
from mixmerge.study.steps.merge import Merge
from mixmerge.study.steps.mix import Mix, MixSettings
from mixmerge.study.steps.prompts import Prompts, read_prompts
from mixmerge.study.steps.rewards import weights_of
from mixmerge.study.steps.train import Train
from mixmerge.yaml_file import Place

FIRST_ROWS = 50
"""Rows read of each training file: most broken files show it early, and a file may have
millions."""


@dataclass(frozen=True)
class Finding:
    """A problem, or a possible one, with what a study needs."""

    place: Place
    """The keys of the study file that the finding is about."""
    text: str
    weight: Weight = "error"
    """An ``error`` of the study and its files, or something ``missing`` on this machine, would stop
    the run; a ``warning`` would not; a ``note`` says how something is read."""

    @property
    def fatal(self) -> bool:
        """Whether the finding would stop the run."""
        return self.weight in ("error", "missing")

    def said(self, file: Path | None) -> str:
        """Return the sentence with its keys, and with the line if the study is in a file."""
        if file is not None and self.place:
            document = read_extended(file)
            # A model may be written as its folder alone: only keys that are there are named.
            written = [self.place[:n] for n in range(len(self.place), 0, -1)]
            place = next((keys for keys in written if keys in document.marks), self.place)
            return where(document, place) + self.text
        keys = ".".join(map(str, self.place))
        return f"{keys}: {self.text}" if keys else self.text


@dataclass(frozen=True)
class Preflight:
    """The findings, and the prompts read on the way."""

    findings: list[Finding]
    prompts: dict[str, list[Prompt]]
    """Prompts of pending steps whose files are on this machine, by the step's id."""


def preflight(
    study: Study,
    planned: Sequence[Planned],
    root: Path,
    only: Sequence[str] | None = None,
    *,
    probe: bool,
) -> Preflight:
    """Check what a run needs.

    Args:
        study: the study.
        planned: all steps; finished ones are not checked.
        root: the run folder.
        only: check only these steps and what they need; all if empty.
        probe: ask every endpoint for one token, if long work comes before its first call.
    """
    steps = {item.step.id: item for item in planned}
    ids = needed_for(only, {id_: item.step for id_, item in steps.items()}) if only else {*steps}
    todo = [item for item in planned if item.state != "done" and item.step.id in ids]
    prompts: dict[str, list[Prompt]] = {}
    asked = needed_endpoints(study, todo)
    keys = [Finding(*each, "missing") for each in missing_keys(asked)]
    found = [
        *keys,
        *_packages(study, todo),
        *_models(todo),
        *_data(todo),
        *_prompts(todo, prompts),
        *_merges(todo, steps),
        *_teachers(todo, steps),
        *_disk(todo, steps, root),
        *(Finding(*each, "warning") for each in memory_warnings(study, todo, steps)),
        *_few_prompts(study, steps, prompts),
        *(Finding(*each) for each in scored_problems(study, todo)),
    ]
    # A probe costs a token: ask only when every free check has passed.
    if probe and not any(each.fatal for each in found) and _takes_long(todo):
        found += [Finding(*each) for each in unknown_tasks(study, todo)]
        for place, text, lasting in unanswered(asked, root):
            found.append(Finding(place, text, "missing" if lasting else "warning"))
    return Preflight(found, prompts)


def refuse(said: Sequence[str]) -> None:
    """Stop a run before it starts, with everything that would stop it later in one message.

    Raises:
        SpecError: there are findings.
    """
    if said:
        more = f"{len(said)} problems to fix before the run; nothing was started:\n"
        end = " Or run only other steps, with `--only`."
        raise SpecError((more if said[1:] else "") + "\n".join(said) + end)


def missing_files(steps: Sequence[Step]) -> list[Finding]:
    """Return the files that a study names and that do not exist, each once."""
    found: dict[str, Finding] = {}
    for step in steps:
        for role, path in step.files.items():
            try:
                problem = "" if Path(path).exists() else "does not exist; check the path"
            except OSError as error:  # no permission, or the name is too long
                problem = f"cannot be read ({error.strerror})"
            if problem:
                found.setdefault(path, Finding(_named_at(step, role), f"{path} {problem}."))
    return list(found.values())


def _named_at(step: Step, role: str) -> Place:
    """Return the keys of the study file that name a file of a step."""
    owner = role.partition(":")[0]
    if step.kind == Mix.kind:
        return ("data", owner, "files")
    if step.kind == GenerateData.kind:
        return ("data", step.name, "generate")
    if step.kind == Prompts.kind:
        return (*_of_prompts(step.name), "files")
    if step.kind in ("base", "given"):
        return (BASE,) if step.kind == "base" else ("checkpoints", step.name, "model")
    if step.kind in ("harness", "score"):
        return ("evaluate", "axes", step.name.partition("@")[2])
    return ("evaluate", "axes", owner, "judge") if step.kind == "judge" else ("evaluate",)


def _of_prompts(name: str) -> Place:
    """Return the keys of the study file that define a prompt step."""
    axis = name.removesuffix(SELECTION)
    if name.endswith(SELECTION):
        return ("selection", "prompts", axis)
    return ("evaluate", "axes", axis, "prompts")


def _takes_long(todo: Sequence[Planned]) -> bool:
    """Return whether models are trained, merged or run here before an endpoint is called."""
    return any(
        item.step.kind in (Train.kind, Merge.kind)
        or (item.step.kind == "generate" and item.step.inputs.get("model"))
        for item in todo
    )


def _data(todo: Sequence[Planned]) -> Iterator[Finding]:
    """Read the first rows of every source that a mixture uses, in the form that it needs."""
    seen: set[tuple[str, str]] = set()
    for item in todo:
        if item.step.kind != Mix.kind:
            continue
        settings = Mix().read_settings(item.step)
        for name, source in settings.sources.items():
            known = (name, settings.form)
            if source.get("files") and settings.shares.get(name) and known not in seen:
                seen.add(known)
                yield from _source(name, source, settings, item.step)


def _source(
    name: str, source: dict[str, Any], settings: MixSettings, step: Step
) -> Iterator[Finding]:
    paths = {role: Path(path) for role, path in step.files.items()}
    spec = SourceSpec.model_validate(with_paths(name, source, paths))
    languages = settings.languages
    place: Place = ("data", name)
    only = languages[0] if len(languages) == 1 else None
    try:
        rows = load(name, spec, settings.form, only, first=FIRST_ROWS)
    except UserError as error:
        yield Finding(place, str(error))
        return
    yield Finding(place, f"{name}: read as {rows.read_as}{_left(rows)}", "note")
    if not rows.rows:
        first, *_ = [*rows.broken, *rows.left_out]
        weight: Weight = "error" if rows.broken else "warning"
        yield Finding(place, f"none of its first rows can be used; the first: {first}", weight)
        return
    others = {row.language for row in rows.rows} - {*languages}
    if len(others) == len({row.language for row in rows.rows}):
        said = (
            f"its first {len(rows.rows)} rows are in {quoted(sorted(others))}, and the study is in "
            f"{quoted(languages)}: rows of other languages are not used. Name the languages in "
            "`languages`, or what the data calls them in `language_names`."
        )
        yield Finding(place, said, "error" if _is_fixed(spec) else "warning")


def _left(rows: Loaded) -> str:
    """Return the end of a sentence: the columns that are not read."""
    names = ", ".join(f"`{column}`" for column in rows.unread)
    return f"; not read: {names}." if names else "."


def _is_fixed(spec: SourceSpec) -> bool:
    """Return whether the study file, not the rows, gives the languages."""
    return spec.language is not None or isinstance(spec.files, dict)


def _prompts(todo: Sequence[Planned], known: dict[str, list[Prompt]]) -> Iterator[Finding]:
    """Read the prompts in files and of the testbed into ``known``, by the step's id."""
    for item in todo:
        if item.step.kind != Prompts.kind:
            continue
        settings = Prompts().read_settings(item.step)
        asked = settings.model_extra or {}
        if not (asked.get("files") or asked.get("testbed")):
            continue  # on the hub
        paths = {role: Path(path) for role, path in item.step.files.items()}
        try:
            known[item.step.id] = read_prompts(settings, paths)
        except UserError as error:
            yield Finding(_of_prompts(item.step.name), str(error))


def _few_prompts(
    study: Study, steps: Mapping[str, Planned], prompts: dict[str, list[Prompt]]
) -> Iterator[Finding]:
    for axis, seen in too_few(study, steps, prompts):
        said = (
            f"{seen} prompts are too few for any interval, and so to decide anything: "
            f"{MIN_VALUES} are required, {MIN_CLUSTERS} of them independent."
        )
        yield Finding(("evaluate", "axes", axis, "prompts"), said, "warning")


def _packages(study: Study, todo: Sequence[Planned]) -> Iterator[Finding]:
    """Look for the packages of the parts that pending steps use."""
    kinds = {item.step.kind for item in todo}
    trained = study.trained()
    recipes = {trained[item.step.name].train for item in todo if item.step.kind == Train.kind}
    rewards = {axis for recipe in recipes for axis in weights_of(study.training[recipe])}

    def used(place: Place) -> bool:
        match place:
            case ("training", recipe, *_):
                return recipe in recipes
            case ("evaluate", "axes", axis, "judge", *_):
                return bool(kinds & {"judge", "calibrate"}) or axis in rewards
            case ("evaluate", "axes", axis, *_) if axis in study.evaluate.scored:
                return "harness" in kinds
            case ("evaluate", "generate", *_) | ("base" | "checkpoints", *_):
                return bool(kinds & {"generate", "answers"})
        return place == ("tracking",) and bool(todo)  # engines check their own packages

    for place, said in missing_packages(study, used=used):
        yield Finding(place, said, "missing")


def _models(todo: Sequence[Planned]) -> Iterator[Finding]:
    """Check that the folders of given models hold what transformers needs to load them."""
    for item in todo:
        folder = item.step.files.get("model")
        if item.step.kind not in ("base", "given") or folder is None:
            continue
        try:
            whole_model(Path(folder))
        except UserError as error:
            yield Finding(_named_at(item.step, "model"), str(error))


def _merges(todo: Sequence[Planned], steps: Mapping[str, Planned]) -> Iterator[Finding]:
    """Plan the merges whose inputs' headers are here; training keeps its parent's tensors."""
    seen: set[str] = set()
    for item in todo:
        if item.step.kind != Merge.kind:
            continue
        folders = {role: source_folder(parent, steps) for role, parent in item.step.inputs.items()}
        here = {role: folder for role, folder in folders.items() if folder is not None}
        known = repr(sorted({**item.step.settings, **here}.items(), key=str))
        if len(here) < len(folders) or known in seen:
            continue
        seen.add(known)
        if len({*here.values()}) == 1:
            continue  # all derived from one model, so they fit
        if not all((folder / "config.json").is_file() for folder in here.values()):
            continue  # `_models` reports incomplete folders
        from mixmerge.merging.engine import plan_stages

        settings = Merge().read_settings(item.step)
        try:
            plan_stages(settings.to_recipe(here, here[BASE]))
        except UserError as error:
            yield Finding(("checkpoints", item.step.name), str(error))


def _teachers(todo: Sequence[Planned], steps: Mapping[str, Planned]) -> Iterator[Finding]:
    """Compare the vocabularies of teachers and students whose models, or their bases, are here."""
    for item in todo:
        of = {role: step for role, step in item.step.inputs.items() if role != "rows"}
        if item.step.kind != Train.kind or len(of) < 2:
            continue
        here = {role: source_folder(step, steps) for role, step in of.items()}
        known = {
            role: folder
            for role, folder in here.items()
            if folder and (folder / "config.json").is_file()
        }
        if "model" not in known or len({*known.values()}) == 1:
            continue
        from mixmerge.training.teachers import check_teachers

        made = {
            role.removeprefix("teacher:"): ModelFolder(folder) for role, folder in known.items()
        }
        try:
            check_teachers(made.pop("model"), made)
        except UserError as error:
            yield Finding(("checkpoints", item.step.name, "teachers"), str(error))


def _disk(todo: Sequence[Planned], steps: Mapping[str, Planned], root: Path) -> Iterator[Finding]:
    """Compare the free disk with the weights that the run will write."""
    needed = disk_bytes(todo, steps)
    free = shutil.disk_usage(existing_parent(root.absolute())).free
    if needed is not None and needed > free:
        said = (
            f"the checkpoints need about {needed / 1e9:.2f} GB of disk, and {free / 1e9:.2f} GB "
            f"are free at {root}: free some, or choose another run folder with `--out`."
        )
        sizes = (model_size(item.step.id, steps) for item in todo if item.step.kind == Train.kind)
        # A size in a name may be wrong, so it does not stop the run.
        guessed = any(size is not None and size.by_name for size in sizes)
        yield Finding((), said, "warning" if guessed else "missing")


def disk_bytes(todo: Sequence[Planned], steps: Mapping[str, Planned]) -> int | None:
    """Return the bytes of weights that trainings and merges will write; None if not known yet."""
    made = [item for item in todo if item.step.kind in (Train.kind, Merge.kind)]
    sizes = [model_size(item.step.id, steps) for item in made]
    known = [
        size.stored_bytes * (1 + len(item.step.settings.get("keep_steps", ())))
        for item, size in zip(made, sizes, strict=True)
        if size is not None
    ]
    return sum(known) if len(known) == len(sizes) else None
