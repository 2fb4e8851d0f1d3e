"""What the page of samples shows of a run: prompts, answers, verdicts, and each model's recipe."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixmerge.merging.spec import MergeSpec
from mixmerge.records import Axis, Prompt, Results, Verdict
from mixmerge.reporting.models import all_models, mark
from mixmerge.reporting.samples import (
    SampleAnswer,
    SampleItem,
    SampleModel,
    Samples,
    outcome_in_words,
)
from mixmerge.study.checkpoints import Kept, Trained
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.kind import Folders
from mixmerge.study.steps.outputs import Outputs
from mixmerge.yaml_file import to_yaml


def study_samples(
    study: Study, folders: Folders, results: Results, told: Mapping[str, str]
) -> Samples | None:
    """Return the answers of all models that have results; None if there are none to show.

    ``folders`` holds the finished steps' folders by step id. Answers are read when the items are
    iterated over, those of one axis at a time. ``told`` are the `recipes`.
    """
    kept = Outputs(study, folders)
    axes = [axis for axis in results.axes if kept.prompts(axis)]
    names = [name for name in all_models(results) if any(kept.answers(name, a) for a in axes)]
    if not names or not axes or study.report.samples == 0:
        return None
    return Samples(
        models=[SampleModel(n, mark(results, n), told.get(n, "")) for n in names],
        axes={axis: results.axes[axis].better for axis in axes},
        items=_Items(kept, results, names, axes),
        pair=_first_pair(results, names),
    )


def _first_pair(results: Results, names: Sequence[str]) -> tuple[str, str] | None:
    """Return the model that the advice names and the one it is weighed against, if they differ.

    Else the first comparison; None without any.
    """
    advice = results.advice
    pairs = [(each.a, each.b) for each in results.decisions]
    if advice and advice.choice and advice.against:
        pairs.insert(0, (advice.choice, advice.against))
    return next(((a, b) for a, b in pairs if a != b and {a, b} <= {*names}), None)


def recipes(study: Study, names: Iterable[str]) -> dict[str, str]:
    """Return the part of a study file that makes each model, as YAML: its merge or its training."""
    merges = study.merges()
    return {name: to_yaml(_recipe(study, name, merges.get(name))) for name in names}


def _recipe(study: Study, name: str, merge: MergeSpec | None) -> dict[str, Any]:
    if name == BASE:
        return {"base": _plain(study.base)}
    if merge is not None:  # also one of a sweep, which has no name in the study file
        return {"checkpoints": {name: {"merge": _plain(merge)}}, "seed": study.seed}
    checkpoint = study.checkpoints[name]
    parts: dict[str, Any] = {}
    if isinstance(checkpoint, Kept):
        name, checkpoint = checkpoint.of, study.checkpoints[checkpoint.of]
    if isinstance(checkpoint, Trained):
        parts["mixtures"] = {checkpoint.mixture: _plain(study.mixtures[checkpoint.mixture])}
        # Whole: the defaults of a training depend on its method.
        training = study.training[checkpoint.train].model_dump(mode="json", exclude_none=True)
        parts["training"] = {checkpoint.train: training}
    return parts | {"checkpoints": {name: _plain(checkpoint)}, "seed": study.seed}


def _plain(spec: Any) -> Any:
    return spec.model_dump(mode="json", exclude_defaults=True, by_alias=True)


@dataclass(frozen=True)
class _Items:
    """The items of a run; each iteration reads the files again, so that memory holds one axis."""

    kept: Outputs
    results: Results
    models: Sequence[str]
    axes: Sequence[Axis]

    def __iter__(self) -> Iterator[SampleItem]:
        for axis in self.axes:
            prompts = self.kept.read_prompts(axis)
            answers = {name: self._answers(name, axis) for name in self.models}
            for prompt in self._chosen(prompts):
                yield SampleItem(
                    axis,
                    prompt.id,
                    prompt.text,
                    {name: own[prompt.id] for name, own in answers.items() if prompt.id in own},
                    prompt.language,
                    prompt.category or "",
                    prompt.cluster,
                )

    def _chosen(self, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """Choose whole clusters, evenly over the set, to show each question in all languages."""
        clusters = list(dict.fromkeys(prompt.cluster for prompt in prompts))
        asked = self.kept.study.report.samples
        if asked is None or asked >= len(clusters):
            return prompts
        kept = {clusters[i * len(clusters) // asked] for i in range(asked)}
        return [prompt for prompt in prompts if prompt.cluster in kept]

    def _answers(self, name: str, axis: Axis) -> dict[str, SampleAnswer]:
        verdicts = self.kept.read_verdicts(name, axis)
        return {
            prompt: self._answer(name, axis, text, verdicts.get(prompt, []))
            for prompt, text in self.kept.read_answers(name, axis).items()
        }

    def _answer(
        self, name: str, axis: Axis, text: str, verdicts: Sequence[Verdict]
    ) -> SampleAnswer:
        info, share = self.results.axes[axis], self.kept.share(name, axis, verdicts)
        if not verdicts:
            return SampleAnswer(text, share, "Not judged")
        told = [outcome_in_words(each.outcome, each.score, info) for each in verdicts]
        tones = {tone for _, tone in told}
        notes = [each.reason for each in verdicts]
        notes += [
            f"{noted}: {value}"
            for each in verdicts
            for noted, value in each.notes.items()
            if noted != "severity"
        ]
        return SampleAnswer(
            text,
            share,
            # In both orders, or by several judges.
            " / ".join(dict.fromkeys(words for words, _ in told)),
            tones.pop() if len(tones) == 1 else "",
            next(filter(None, (each.notes.get("severity") for each in verdicts)), ""),
            "\n".join(dict.fromkeys(filter(None, notes))),
        )
