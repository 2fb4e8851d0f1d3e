"""The data of a calibration: the answers on one axis, and those that have labels."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixmerge.evaluation.calibration.labels import Labels, decided
from mixmerge.evaluation.judging import require_answers
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Item, Judge, Outcome, Prompt, Question, Response, Verdict
from mixmerge.records.results import AxisInfo
from mixmerge.stats.bootstrap import Floats

NO_VERDICT = -1


@dataclass(frozen=True)
class Material:
    """Prompts, answers, verdicts and judge of one axis."""

    question: Question
    info: AxisInfo
    judge: Judge
    prompts: Sequence[Prompt]
    answers: Mapping[str, Mapping[str, Response]]
    """By model, the base model included, and prompt."""
    base: str
    worth: Callable[[Verdict], float]
    """Returns the score of a verdict, from 0 to 1, by the axis's measure."""
    verdicts: Mapping[str, Sequence[Verdict]] = field(default_factory=dict)
    """The judge's, by model, on all prompts; empty if it has not judged yet."""

    @property
    def axis(self) -> Axis:
        """The axis."""
        return self.question.axis

    @property
    def compares(self) -> bool:
        """Whether answers are compared with the base model's."""
        return self.question.asks == "comparison"

    @property
    def models(self) -> list[str]:
        """The models that are judged; the base model is not compared with itself."""
        return [name for name in self.answers if not self.compares or name != self.base]

    def text(self, model: str, prompt: str) -> str:
        """Return a model's answer to a prompt."""
        return self.answers[model][prompt].text

    def texts(self, model: str, prompt: str) -> tuple[str, str]:
        """Return the answers of a model and of the base model to a prompt."""
        return self.text(model, prompt), self.text(self.base, prompt)

    @cached_property
    def prompt_ids(self) -> set[str]:
        """The ids of the axis's prompts."""
        return {prompt.id for prompt in self.prompts}

    def ask(
        self, judge: Judge, model: str, prompts: Sequence[Prompt], progress: Progress = silent
    ) -> list[Verdict]:
        """Return a judge's verdicts on a model's answers to some prompts."""
        own, base = self.answers[model], self.answers[self.base]
        items = [
            Item(prompt, own[prompt.id], base[prompt.id] if self.compares else None)
            for prompt in prompts
        ]
        return self.ask_about(judge, items, progress)

    def ask_about(
        self, judge: Judge, items: Sequence[Item], progress: Progress = silent
    ) -> list[Verdict]:
        """Return a judge's verdicts on any answers.

        Raises:
            ResourceError: a call failed; successful calls are in the judge's journal.
        """
        verdicts = judge.judge(items, self.question, progress)
        require_answers(self.axis, verdicts, "judge calls of the calibration")
        return verdicts


@dataclass(frozen=True)
class LabelledAnswer:
    """One answer with its label and the judge's verdict."""

    model: str
    prompt: Prompt
    truth: Outcome
    said: Outcome | None
    """The judge's verdict over both orders; None if there is none."""
    verdicts: tuple[Verdict, ...]
    """The judge's single verdicts."""
    length: float
    """Characters of the answer; for comparisons, minus those of the base model's answer."""


@dataclass(frozen=True)
class Evidence:
    """The labelled answers of one axis, as rows and as arrays."""

    material: Material
    labels: Labels
    answers: Sequence[LabelledAnswer]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes, whose indices are the codes."""
        return self.material.question.outcomes

    @cached_property
    def truth(self) -> NDArray[np.intp]:
        """Codes of the labels, shape (answers,)."""
        return np.array([self.outcomes.index(each.truth) for each in self.answers], dtype=np.intp)

    @cached_property
    def said(self) -> NDArray[np.intp]:
        """Codes of the verdicts, -1 for none, shape (answers,)."""
        codes = [self.outcomes.index(e.said) if e.said else NO_VERDICT for e in self.answers]
        return np.array(codes, dtype=np.intp)

    @cached_property
    def cluster(self) -> NDArray[np.intp]:
        """The source prompt of each answer, shape (answers,)."""
        return numbered([each.prompt.cluster for each in self.answers])

    @cached_property
    def weight(self) -> Floats:
        """How many answers each one stands for, divided by the mean, shape (answers,).

        All 1 unless prompts were drawn by stratum with different chances.
        """
        strata = self.labels.strata
        if not strata:
            return np.ones(len(self.answers))
        sizes = Counter(strata[prompt.id] for prompt in self.material.prompts)
        drawn = Counter((each.model, strata[each.prompt.id]) for each in self.answers)
        stands_for = np.array(
            [
                sizes[strata[each.prompt.id]] / drawn[each.model, strata[each.prompt.id]]
                for each in self.answers
            ]
        )
        weights: Floats = stands_for / stands_for.mean()
        return weights

    @cached_property
    def error(self) -> Floats:
        """Verdict minus label, from -1 to 1; NaN without a verdict, shape (answers,)."""
        top = len(self.outcomes) - 1
        errors: Floats = np.where(self.said == NO_VERDICT, np.nan, (self.said - self.truth) / top)
        return errors


def numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """Return integers from 0 for names, in order of first appearance."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    return np.array([codes[name] for name in names], dtype=np.intp)


def labelled_by_rules(
    material: Material, rules: Judge, questions: int, rng: np.random.Generator
) -> Labels:
    """Label all models' answers to randomly drawn source prompts by exact rules."""
    clusters = list(dict.fromkeys(prompt.cluster for prompt in material.prompts))
    drawn = {clusters[index] for index in rng.permutation(len(clusters))[:questions]}
    prompts = [prompt for prompt in material.prompts if prompt.cluster in drawn]
    ratings = {
        (model, prompt): {rules.name: outcome}
        for model in material.models
        for prompt, outcome in decided(material.ask(rules, model, prompts)).items()
        if outcome is not None
    }
    return Labels(rules.name, ratings)


def evidence(material: Material, labels: Labels, progress: Progress = silent) -> Evidence:
    """Join the judge's verdicts and the labels; the judge is asked only if it has not judged."""
    answers: list[LabelledAnswer] = []
    for number, model in enumerate(material.models):
        progress(number, len(material.models), f"{material.axis}: the judge on labelled answers")
        found = [(prompt, labels.truth((model, prompt.id))) for prompt in material.prompts]
        labelled = [(prompt, truth) for prompt, truth in found if truth is not None]
        rows = material.verdicts.get(model) or material.ask(
            material.judge, model, [prompt for prompt, _ in labelled]
        )
        said = decided(rows)
        by_prompt: dict[str, list[Verdict]] = defaultdict(list)
        for row in rows:
            by_prompt[row.prompt].append(row)
        for prompt, truth in labelled:
            own, base = material.texts(model, prompt.id)
            answers.append(
                LabelledAnswer(
                    model,
                    prompt,
                    truth,
                    said.get(prompt.id),
                    tuple(by_prompt[prompt.id]),
                    float(len(own) - len(base) * material.compares),
                )
            )
    return Evidence(material, labels, answers)
