"""A text classifier as a judge of single answers."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judges.judge import (
    BaseJudgeSpec,
    Decision,
    JudgeContext,
    model_paths,
    said,
    verdict,
)
from mixmerge.fingerprint import folder_fingerprint, once
from mixmerge.hub import resolve
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Question, Verdict


class ClassifierJudgeSpec(BaseJudgeSpec):
    """A text classifier on this machine, for single answers and not for comparisons."""

    key = "classifier"
    answers = frozenset({"outcome", "grade"})
    placement = frozenset({"batch_size"})
    loads_weights = True

    classifier: str = Field(min_length=1)
    """A Hugging Face folder of a sequence classifier, or a name on the hub with an optional
    ``@revision``."""
    labels: dict[str, Literal["yes", "no"]] = Field(min_length=2)
    """For each of its labels, whether the answer has the outcome, such as ``harmful``."""
    reads: Literal["answer", "prompt_and_answer"] = "prompt_and_answer"
    """Its input: the answer, or the prompt and the answer as a pair of texts."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """The verdict is ``yes`` from this probability of the ``yes`` labels on."""
    batch_size: int = Field(32, ge=1)
    """Texts per batch. Placement."""

    @model_validator(mode="after")
    def _can_say_both(self) -> Self:
        if set(self.labels.values()) != {"yes", "no"}:
            raise ValueError("`labels` must have a label that means `yes` and one that means `no`")
        return self

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        return model_paths(self.classifier)

    def build(self, context: JudgeContext) -> "ClassifierJudge":
        """Return the judge; the classifier is loaded when it is first needed."""
        return ClassifierJudge(self, context.folder)


class ClassifierJudge:
    """Classifies answers; see `mixmerge.records.Judge`."""

    def __init__(self, spec: ClassifierJudgeSpec, folder: Path = Path()) -> None:
        """Find the classifier; it is loaded when it is first needed.

        Raises:
            ModelError: there is no such model.
        """
        self._spec = spec
        self._folder = resolve(spec.classifier, pickled=True, relative_to=folder)

    @cached_property
    def name(self) -> str:
        """Classifier with a digest of its files, input and threshold."""
        digest = once(folder_fingerprint, self._folder)[:8]
        label = f"{Path(self._spec.classifier).name}-{digest}"
        return f"{label} ({self._spec.reads}, yes from {self._spec.threshold})"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Decide for each answer whether it has the outcome.

        Raises:
            ModelError: the classifier cannot be loaded.
            SpecError: `labels` are not those of the classifier, or two answers are compared.
        """
        self._spec.require(question)
        size = self._spec.batch_size
        # Texts of similar length share a batch, to save padding.
        order = sorted(
            range(len(items)), key=lambda i: -len(items[i].prompt.text + items[i].answer.text)
        )
        made: dict[int, Decision] = {}
        for start in range(0, len(items), size):
            places = order[start : start + size]
            made |= zip(places, self._decide([items[place] for place in places]), strict=True)
            progress(len(made), len(items), "judgements")
        return [
            verdict(item.prompt, question, self.name, made[place])
            for place, item in enumerate(items)
        ]

    def _decide(self, items: Sequence[Item]) -> list[Decision]:
        """Compare the probability of the ``yes`` labels with the threshold for each answer."""
        import torch

        texts = [[item.answer.text for item in items]]
        if self._spec.reads == "prompt_and_answer":
            texts.insert(0, [item.prompt.text for item in items])
        # Answers are data: special tokens that they spell out must not count as such.
        encode = partial(self._tokenizer, *texts, split_special_tokens=True)
        whole = encode()["input_ids"]
        # The longer text of a pair is truncated first, so a short answer is read completely.
        inputs = encode(
            truncation=True, max_length=self._longest, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = self._network(**inputs.to(self._network.device)).logits.float().cpu()
        config = self._network.config
        independent = config.problem_type == "multi_label_classification"
        chances = torch.sigmoid(logits) if independent else torch.softmax(logits, dim=-1)
        wanted = [i for i, label in config.id2label.items() if self._spec.labels[label] == "yes"]
        yes = chances[:, wanted].amax(dim=1) if independent else chances[:, wanted].sum(dim=1)
        return [
            said(chance >= self._spec.threshold, f"yes {chance:.3f}" + self._cut(len(tokens)))
            for chance, tokens in zip(yes.tolist(), whole, strict=True)
        ]

    def _cut(self, tokens: int) -> str:
        longest = self._longest
        return f" (read {longest} of {tokens} tokens)" if tokens > longest else ""

    @property
    def _longest(self) -> int:
        positions = getattr(self._network.config, "max_position_embeddings", None)
        return min(self._tokenizer.model_max_length, positions or 1 << 30)

    @cached_property
    def _tokenizer(self) -> Any:
        from mixmerge.chat.tokenizer import load_padding_tokenizer

        return once(load_padding_tokenizer, self._folder)

    @cached_property
    def _network(self) -> Any:
        network = once(_load, self._folder)
        own, named = set(network.config.id2label.values()), set(self._spec.labels)
        if own != named:
            raise SpecError(
                f"`labels` must name the labels of {self._spec.classifier}, which are "
                f"{', '.join(sorted(own))} (seen: {', '.join(sorted(named))})."
            )
        if network.config.pad_token_id is None:
            network.config.pad_token_id = self._tokenizer.pad_token_id
        return network


def is_cut(reason: str) -> bool:
    """Return whether the reason of a verdict says that only the beginning of a text was read."""
    return " (read " in reason and reason.endswith(" tokens)")


def _load(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    from mixmerge.evaluation.loaded_model import device_and_dtype, loading

    with loading(folder):
        try:
            network = AutoModelForSequenceClassification.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError) as error:
            problem = f"cannot be loaded as a classifier: {error}"
            raise ModelError(f"{folder}: {problem}") from error
        return network.to(device_and_dtype()[0]).eval()


SPEC = ClassifierJudgeSpec
