"""What a trial works on: the answers of one axis, and those of them that have a label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixmerge.errors import ResourceError
from mixmerge.evaluation.calibration.labels import Labels, decided, labels_of, outcomes
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Judge, Outcome, Prompt, Response, Verdict
from mixmerge.stats.bootstrap import Floats

NO_VERDICT = -1


@dataclass(frozen=True)
class Material:
    """Everything there is on one axis."""

    axis: Axis
    judge: Judge
    prompts: Sequence[Prompt]
    answers: Mapping[str, Sequence[Response]]
    """By model, the base model included."""
    base: str
    """Name of the base model."""
    verdicts: Mapping[str, Sequence[Verdict]] = field(default_factory=dict)
    """The judge's, by model, on all prompts; empty where it has not judged yet."""

    @property
    def models(self) -> list[str]:
        """The models that are judged: on ``general`` the base model is not."""
        return [name for name in self.answers if self.axis != "general" or name != self.base]

    def answer(self, model: str, prompt: str) -> Response:
        """Return a model's answer to a prompt."""
        return self._by_id[model][prompt]

    def texts(self, model: str, prompt: str) -> tuple[str, str]:
        """Return what a model and the base model answer to a prompt."""
        return self.answer(model, prompt).text, self.answer(self.base, prompt).text

    @cached_property
    def _by_id(self) -> dict[str, dict[str, Response]]:
        return {
            name: {answer.prompt: answer for answer in rows} for name, rows in self.answers.items()
        }

    def ask(
        self, judge: Judge, model: str, prompts: Sequence[Prompt], progress: Progress = silent
    ) -> list[Verdict]:
        """Let a judge judge a model's answers to some prompts."""
        own = [self.answer(model, prompt.id) for prompt in prompts]
        if self.axis == "general":
            base = [self.answer(self.base, prompt.id) for prompt in prompts]
            return without_errors(self.axis, judge.compare(prompts, own, base, progress))
        return without_errors(self.axis, judge.classify(self.axis, prompts, own, progress))


@dataclass(frozen=True)
class Item:
    """One labelled answer."""

    model: str
    prompt: Prompt
    truth: Outcome
    said: Outcome | None
    """The judge's verdict, both orders together; None where there is none."""
    verdicts: tuple[Verdict, ...]
    """The judge's verdicts as they came."""
    length: float
    """Characters of the answer; for comparisons, more than the base model's answer has."""


@dataclass(frozen=True)
class Evidence:
    """The labelled answers of one axis, as rows and as arrays."""

    material: Material
    labels: Labels
    items: Sequence[Item]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes that codes stand for."""
        return outcomes(self.material.axis)

    @cached_property
    def truth(self) -> NDArray[np.intp]:
        """Codes of the labels, shape (items,)."""
        return np.array([self.outcomes.index(item.truth) for item in self.items], dtype=np.intp)

    @cached_property
    def said(self) -> NDArray[np.intp]:
        """Codes of the verdicts, -1 for none, shape (items,)."""
        codes = [self.outcomes.index(i.said) if i.said else NO_VERDICT for i in self.items]
        return np.array(codes, dtype=np.intp)

    @cached_property
    def cluster(self) -> NDArray[np.intp]:
        """The source prompt of each item, shape (items,)."""
        return numbered([item.prompt.cluster for item in self.items])

    @cached_property
    def error(self) -> Floats:
        """By how much the verdict exceeds the label, from -1 to 1; NaN for no verdict."""
        top = len(self.outcomes) - 1
        errors: Floats = np.where(self.said == NO_VERDICT, np.nan, (self.said - self.truth) / top)
        return errors

    @cached_property
    def by_question(self) -> dict[tuple[str, str], list[Item]]:
        """Return the items of one model and one source prompt together."""
        found: dict[tuple[str, str], list[Item]] = {}
        for item in self.items:
            found.setdefault((item.model, item.prompt.cluster), []).append(item)
        return found


def without_errors(axis: Axis, verdicts: list[Verdict]) -> list[Verdict]:
    """Return verdicts if no call failed.

    Raises:
        ResourceError: some did; what was answered is in the judge's journal.
    """
    failed = [verdict for verdict in verdicts if verdict.outcome == "error"]
    if failed:
        raise ResourceError(
            f"{axis}: {len(failed)} of {len(verdicts)} judge calls of the calibration failed "
            f"({failed[0].reason}). The same command asks only these again."
        )
    return verdicts


def numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """Return integers from 0 for names, in the order in which the names first come."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.intp)


def drawn_prompts(
    prompts: Sequence[Prompt], questions: int, rng: np.random.Generator
) -> list[Prompt]:
    """Return the prompts of randomly drawn clusters, in their order."""
    clusters = list(dict.fromkeys(prompt.cluster for prompt in prompts))
    taken = rng.permutation(len(clusters))[:questions]
    kept = {clusters[index] for index in taken}
    return [prompt for prompt in prompts if prompt.cluster in kept]


def labelled_by_rules(material: Material, rules: Judge, prompts: Sequence[Prompt]) -> Labels:
    """Return what exact rules say of all models' answers to some prompts."""
    said = {model: material.ask(rules, model, prompts) for model in material.models}
    return labels_of(said, rules.name)


def evidence(material: Material, labels: Labels, progress: Progress = silent) -> Evidence:
    """Put the judge's verdicts beside the labels; it is asked only where it has not judged yet."""
    items: list[Item] = []
    models = material.models
    for number, model in enumerate(models):
        progress(number, len(models), f"{material.axis}: the judge on labelled answers")
        truths = {prompt.id: labels.truth((model, prompt.id)) for prompt in material.prompts}
        prompts = [prompt for prompt in material.prompts if truths[prompt.id] is not None]
        rows = material.verdicts.get(model) or material.ask(material.judge, model, prompts)
        said = decided(rows)
        by_prompt: dict[str, list[Verdict]] = {prompt.id: [] for prompt in material.prompts}
        for row in rows:
            by_prompt[row.prompt].append(row)
        for prompt in prompts:
            truth = truths[prompt.id]
            assert truth is not None
            items.append(
                Item(
                    model,
                    prompt,
                    truth,
                    said.get(prompt.id),
                    tuple(by_prompt[prompt.id]),
                    _length(material, model, prompt.id),
                )
            )
    return Evidence(material, labels, items)


def _length(material: Material, model: str, prompt: str) -> float:
    own = len(material.answer(model, prompt).text)
    if material.axis != "general":
        return float(own)
    return float(own - len(material.answer(material.base, prompt).text))
