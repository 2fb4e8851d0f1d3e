"""The file of ``mixmerge generate-data``: seeds, models, steps, filters and quotas."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from mixmerge.evaluation.endpoint_spec import EndpointSpec
from mixmerge.evaluation.judges import members
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.spec import AxisName
from mixmerge.mixing.spec import SourceSpec
from mixmerge.spec_model import Problem, SpecModel, quoted, refusal, unknown_name
from mixmerge.synthesis.filters import AnyFilter
from mixmerge.synthesis.model_spec import ModelSpec, Seq2seqSpec
from mixmerge.synthesis.quotas import QuotaSpec
from mixmerge.synthesis.recipes import AnyRecipe
from mixmerge.synthesis.recipes.recipe import ModelRecipe, Names, Recipe
from mixmerge.synthesis.row import Kind

Form = Literal["prompts", "conversations", "preferences"]
KINDS: dict[Form, Kind] = {"prompts": "prompt", "conversations": "messages", "preferences": "pair"}
"""The kind of row that a seed of each form is."""


class SeedSpec(SourceSpec):
    """Rows to start from: a source as of a mixture, with its licence."""

    licence: str = Field(min_length=1)
    """Of the rows, e.g. ``Apache-2.0``, which every row made from them carries; ``unknown`` if you
    do not know it."""
    form: Form = "prompts"
    """What is read of each row: its prompt, its conversation, or its pair of answers."""
    category: str | None = None
    """Of all rows, if no column says it."""
    filters: tuple[AnyFilter, ...] = ()
    """Applied to the seeds before anything is asked."""


class GenerateDataSpec(SpecModel):
    """Training data made from seeds by models."""

    seeds: dict[AxisName, SeedSpec] = Field(min_length=1)
    """The rows to start from, by name."""
    models: dict[AxisName, ModelSpec] = {}
    """The models that steps ask, by name: ``{endpoint: URL, model: NAME, price: …}`` as for a
    judge, ``{folder: PATH}``, or to translate ``{seq2seq: PATH, languages: {hi: hin_Deva}}``."""
    steps: tuple[AnyRecipe, ...] = Field(min_length=1)
    """What is done, in order; each takes the rows of the step before unless ``of`` says other."""
    output: Names = ()
    """The sources and steps whose rows are the result; by default the steps that no other takes."""
    filters: tuple[AnyFilter, ...] = ()
    """Applied to the result; ``overlap`` also to the seeds, before anything is asked."""
    quotas: QuotaSpec | None = None
    """How many rows of each language, category or other field the result has."""
    budget: float | None = Field(None, ge=0)
    """Dollars for all models and judges together; a call that could exceed it is not sent. Needs
    the ``price`` of every endpoint."""
    failed_calls: Literal["stop", "drop"] = "stop"
    """What to do when calls failed after all attempts: stop, so that the same command repeats only
    these, or leave their rows out."""
    seed: int = Field(0, ge=0)
    """Of the sampling and of the choice for quotas."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = [*self._names(), *self._models(), *self._money()]
        found = found or [*self._flow()]
        if found:
            raise refusal(GenerateDataSpec, dict(self), found)
        return self

    def _names(self) -> Iterator[Problem]:
        known = list(self.seeds)
        for place, step in enumerate(self.steps):
            for name in step.of:
                if name not in known:
                    yield (
                        ("steps", place, "of"),
                        unknown_name(name, "seeds and earlier steps", known),
                    )
            if step.title in known:
                said = f"`{step.title}` is the name of another: give this step a `name` of its own"
                yield ("steps", place, "name"), said
            known.append(step.title)
        for name in self.output:
            if name not in known:
                yield ("output",), unknown_name(name, "seeds and steps", known)

    def _models(self) -> Iterator[Problem]:
        for place, step in enumerate(self.steps):
            for name in step.asked_models():
                if name not in self.models:
                    yield ("steps", place), unknown_name(name, "models", self.models)
            if isinstance(step, ModelRecipe) and step.needs_model and len(self.models) != 1:
                said = f"`model` is required, since there are {len(self.models)} in `models`"
                yield ("steps", place), said
            else:
                yield from self._translation(place, step)

    def _translation(self, place: int, step: Recipe) -> Iterator[Problem]:
        """Yield the steps that ask translation models for what these cannot do."""
        only = [*self.models] if isinstance(step, ModelRecipe) and step.needs_model else []
        for name in (*only, *step.asked_models()):
            model = self.models.get(name)
            if not isinstance(model, Seq2seqSpec):
                continue
            if not step.translates:
                said = f"`{name}` is a translation model and follows no instruction: give another"
                yield ("steps", place, "model"), said
            # The one that only translates back writes the languages of the rows.
            absent = [each for each in step.languages if each not in model.languages]
            if absent and name in (*only, getattr(step, "model", None)):
                written = quoted(model.languages)
                said = f"`{name}` writes no {absent[0]} (its `languages`: {written})"
                yield ("steps", place, step.key), said

    def _money(self) -> Iterator[Problem]:
        for place, each in self.endpoints():
            if each.budget is not None:
                said = "is one for all calls of this file: give it at the top"
                yield (*place, "budget"), said
            if self.budget is not None and each.price is None:
                said = (
                    "`budget` needs the `price: {input: ..., output: ...}` of every endpoint; of "
                    "one that costs nothing, give 0 and 0"
                )
                yield place, said

    def endpoints(self) -> Iterator[tuple[tuple[str | int, ...], EndpointSpec]]:
        """Yield every endpoint, of models and of judges, with the keys that lead to it."""
        for name, model in self.models.items():
            if isinstance(model, EndpointSpec):
                yield ("models", name), model
        for place, step in enumerate(self.steps):
            for judge in members(step.judge) if step.judge is not None else ():
                if isinstance(judge, EndpointJudgeSpec):
                    yield ("steps", place, step.key, "judge"), judge

    def _flow(self) -> Iterator[Problem]:
        """Yield the steps that are given rows which they cannot read."""
        kinds = {name: {KINDS[seed.form]} for name, seed in self.seeds.items()}
        for place, step in enumerate(self.wired()):
            taken = set[Kind]().union(*(kinds[name] for name in step.of))
            for kind in sorted(taken - step.takes):
                origin = next(name for name in step.of if kind in kinds[name])
                yield (
                    ("steps", place),
                    (
                        f"`{step.key}` reads rows of the kind {' or '.join(sorted(step.takes))}; "
                        f"`{origin}` has rows of the kind {kind}: take others with `of`"
                    ),
                )
            kinds[step.title] = {step.gives(kind) for kind in taken & step.takes}

    def wired(self) -> list[Recipe]:
        """Return the steps with ``of`` and ``model`` filled in."""
        steps: list[Recipe] = []
        before: tuple[str, ...] = tuple(self.seeds)
        for step in self.steps:
            update: dict[str, object] = {"of": step.of or before}
            if isinstance(step, ModelRecipe) and step.needs_model:
                update["model"] = next(iter(self.models))
            steps.append(step.model_copy(update=update))
            before = (step.title,)
        return steps

    def final(self) -> tuple[str, ...]:
        """Return the names of the sources and steps whose rows are the result."""
        taken = {name for step in self.wired() for name in step.of}
        return self.output or tuple(s.title for s in self.steps if s.title not in taken)
