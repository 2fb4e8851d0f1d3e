"""Ask merges that are nowhere on disk: merge into one loaded model, generate, judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.evaluation.backends.hugging_face import TransformersBackend
from mixmerge.evaluation.calls.spending import spent
from mixmerge.evaluation.generate import generate
from mixmerge.evaluation.judges import JudgeContext, members
from mixmerge.evaluation.judging import judge, require_answers
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.execution.environment import cpu_threads
from mixmerge.files import read_rows
from mixmerge.merging.in_place import merge_into
from mixmerge.records import Axis, Judge, Prompt, Response, Verdict
from mixmerge.searching.experts import known_scores
from mixmerge.searching.space import Candidate
from mixmerge.study.spec import Study
from mixmerge.study.steps.generate import decoding_of
from mixmerge.testbed.judge import RuleJudge

_MODELS = frozenset({"endpoint", "local", "classifier"})
"""Judges whose verdicts count as judge calls."""


@dataclass
class Network:
    """One loaded model whose weights are those of the last merge."""

    study: Study
    experts: Mapping[str, Path]
    """Folders of the models to merge, by name."""
    base: Path
    """The study's base model."""
    now: str = ""
    """Key of the candidate whose weights are loaded."""

    @cached_property
    def loaded(self) -> LoadedModel:
        """The model; a merge has the configuration and tokenizer of the first of its models."""
        return LoadedModel(self.experts[min(self.experts)])

    def become(self, candidate: Candidate) -> TransformersBackend:
        """Merge a candidate into the loaded model, unless it is there, and return its backend.

        Raises:
            SpecError: the values of the candidate do not go together in some layer.
            ModelError: the models cannot be merged in memory.
        """
        if self.now != candidate.key:
            self.now = ""
            recipe = candidate.merge.to_recipe(self.experts, self.base)
            state = self.loaded.network.state_dict()
            threads = self.study.placement.merge.threads
            merge_into(state, recipe, seed=self.study.seed, threads=threads)
            self.now = candidate.key
        where = self.study.placement.generate
        return _Merged(
            self.loaded,
            batch_size=where.batch_size,
            threads=where.threads,
            identity=(candidate.key, *map(str, self.experts.values())),
        )


@dataclass(frozen=True)
class _Merged(TransformersBackend):
    """The backend of a merge in memory."""

    identity: tuple[str, ...] = ()

    @property
    def stamp(self) -> Any:
        """What tells its answers from those of other merges in a journal."""
        return list(self.identity)


@dataclass
class Asker:
    """Asks merges about the prompts of an evaluation."""

    network: Network
    evaluate: EvaluateSpec
    base: Mapping[Axis, Mapping[str, Response]]
    """The base model's answers by prompt, which comparisons are with."""
    root: Path
    """The run folder: its cache has the judges' journal, and the ledger of dollars."""
    _judges: dict[str, Judge] = field(default_factory=dict)

    def verdicts(
        self, candidate: Candidate, prompts: Mapping[Axis, Sequence[Prompt]], folder: Path
    ) -> dict[Axis, list[Verdict]]:
        """Let a merge answer and have its answers judged; both are kept in a folder.

        Raises:
            SpecError: the values of the candidate do not go together in some layer.
            ModelError: the models cannot be merged in memory.
            ResourceError: a judge's calls failed; what succeeded is not called again.
        """
        backend = self.network.become(candidate)
        decoding = decoding_of(self.network.study, self.evaluate.decoding)
        answers: dict[Axis, list[Response]] = {}
        found: dict[Axis, list[Verdict]] = {}
        for axis in self.evaluate.judged:
            rows, source = list(prompts[axis]), self.evaluate.answered(axis)
            if source not in answers:
                file = folder / f"{source}.answers.jsonl"
                answers[source] = generate(backend, rows, decoding, file)
            found[axis] = self._judged(axis, rows, answers[source], folder)
        return found

    def _judged(
        self, axis: Axis, prompts: Sequence[Prompt], answers: Sequence[Response], folder: Path
    ) -> list[Verdict]:
        spec = self.evaluate.judged[axis]
        key = repr(spec.judge)
        if key not in self._judges:
            # Axes with the same judge share one object, so that a local model is loaded once.
            self._judges[key] = spec.judge.build(
                JudgeContext(
                    journal=self.root / "cache" / "judge" / "search.jsonl",
                    rule_judges={"testbed": RuleJudge()},
                    allow_execution=self.evaluate.allow_execution,
                    private=(self.root,),
                )
            )
        question, reference = spec.measure.question(axis), []
        if question.asks == "comparison":
            reference = [self.base[axis][prompt.id] for prompt in prompts]
        with cpu_threads(self.network.study.placement.judge.threads):
            verdicts = judge(
                question,
                prompts,
                answers,
                base_answers=reference,
                by=self._judges[key],
                out=folder / f"{axis}.jsonl",
            )
        require_answers(axis, verdicts)
        return verdicts

    def scores(self, axis: Axis, verdicts: Sequence[Verdict]) -> list[float | None]:
        """Return the score of every prompt, in the order of the verdicts; None without one."""
        return [*known_scores(verdicts, self.evaluate.axes[axis].measure).values()]

    def dollars(self) -> float:
        """Return what endpoints of this run have cost so far."""
        return sum(spent(self.root).values())


def read_judged(evaluate: EvaluateSpec, folder: Path) -> dict[Axis, list[Verdict]]:
    """Return the verdicts that `Asker.verdicts` left in a folder."""
    return {axis: read_rows(folder / f"{axis}.jsonl", Verdict) for axis in evaluate.judged}


def judge_calls(evaluate: EvaluateSpec, axis: Axis, prompts: int) -> int:
    """Return the most calls to judge models that the answers to so many prompts take."""
    spec = evaluate.judged[axis]
    models = sum(member.key in _MODELS for member in members(spec.judge))
    return prompts * models * (2 if spec.measure.asks == "comparison" else 1)
