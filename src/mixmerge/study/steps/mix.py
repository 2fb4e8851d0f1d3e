"""``mix/MIXTURE-FORM``: build the training sets."""

from collections.abc import Iterable, Mapping
from typing import Any

from mixmerge.execution.step import Needs, Step, Task
from mixmerge.mixing.spec import FORMS, Form, MixtureSpec, SourceSpec
from mixmerge.progress import Progress
from mixmerge.records import RowModel
from mixmerge.study.data_sources import step_of
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.kind import ROWS, StepKind, described, inputs_of, model_path, with_paths
from mixmerge.training.spec import TrainSpec


class MixSettings(MixtureSpec):
    """A mixture and its sources."""

    sources: dict[str, dict[str, Any]]
    """By name: ``{input: true}`` for rows of another step, else as `described` returns it."""
    form: Form
    languages: list[str]
    seed: int


class MixFacts(RowModel):
    """The size of the mixture."""

    rows: int
    characters: int


class Mix(StepKind[MixSettings, MixFacts], kind="mix"):
    """Writes one mixture and its manifest."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each mixture in each form that a training reads."""
        wanted = {(own.mixture, form_for(study, name)) for name, own in study.trained().items()}
        order = {name: place for place, name in enumerate(study.mixtures)}
        held_out = {
            f"held_out:{axis}{each.suffix}": f"prompts/{axis}{each.suffix}"
            for each in rounds(study)
            for axis in each.evaluate.judged
        }
        for name, form in sorted(wanted, key=lambda pair: (order[pair[0]], pair[1])):
            yield self._step(study, name, form, held_out)

    def _step(self, study: Study, name: str, form: Form, held_out: Mapping[str, str]) -> Step:
        mixture, inputs = study.mixtures[name], dict(held_out)
        sources: dict[str, Any] = {}
        files: dict[str, str] = {}
        # Of a duplicate in two sources the first is kept, so sort by name: settings have no order.
        for source_name, source in sorted(study.data.items()):
            if step := step_of(source_name, source):
                inputs[f"source:{source_name}"] = step
                sources[source_name] = {"input": True}
            elif isinstance(source, SourceSpec):
                sources[source_name], paths = described(source_name, source)
                files |= paths
        if mixture.unit == "tokens":
            inputs["tokenizer"] = f"base/{BASE}"
        settings = mixture.model_dump(mode="json", exclude_defaults=True) | {
            "sources": sources,
            "form": form,
            "languages": study.languages,
            "seed": study.seed,
        }
        return Step(
            self.kind,
            mixed(name, form),
            settings,
            inputs,
            files,
            by_output=True,
            needs=Needs(seconds=3),
            version=4,
        )

    def run(self, task: Task, settings: MixSettings, progress: Progress) -> MixFacts:
        """Mix the sources."""
        from mixmerge.mixing.materialise import mix
        from mixmerge.mixing.spec import MixSpec

        own = settings.model_dump(exclude={"sources"}, exclude_unset=True)
        spec = MixSpec.model_validate(
            own
            | {
                "sources": {
                    name: {"files": task.inputs[f"source:{name}"] / ROWS}
                    if source.get("input")
                    else with_paths(name, source, task.files)
                    for name, source in settings.sources.items()
                },
                "held_out": [folder / ROWS for folder in inputs_of(task, "held_out").values()],
                "tokenizer": model_path(task.inputs["tokenizer"])
                if "tokenizer" in task.inputs
                else None,
            }
        )
        manifest = mix(spec, task.folder, progress=progress)
        return MixFacts(rows=manifest.rows, characters=sum(s.characters for s in manifest.shares))

    def cost(self, settings: MixSettings, rows: int) -> str:
        """Return the mixture's size in words."""
        del rows
        return f"{settings.size:,} {settings.unit}"


def form_of(recipe: TrainSpec) -> Form:
    """Return the form of the rows that a training reads."""
    return next(form for form, rows in FORMS.items() if rows is recipe.objective.rows)


def form_for(study: Study, name: str) -> Form:
    """Return the form of a trained checkpoint's mixture: prompts, if teachers answer them."""
    return (
        "prompts" if study.answered(name) else form_of(study.training[study.trained()[name].train])
    )


def mixed(mixture: str, form: Form) -> str:
    """Return the name of the step that writes a mixture in a form."""
    return f"{mixture}-{_NAMES[form]}"


_NAMES: dict[Form, str] = {
    "conversations": "chats",
    "preferences": "pairs",
    "labelled": "labelled",
    "prompts": "prompts",
}
"""What the rows of each form are called in names of steps."""


KINDS = (Mix(),)
