"""A text classifier as a judge of harm or over-refusal."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.evaluation.judge_spec import ClassifierJudgeSpec
from mixmerge.evaluation.judges.fetch import model_folder
from mixmerge.evaluation.judges.outcomes import Classified, verdict
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Prompt, Response, Verdict


class ClassifierJudge:
    """Classifies answers; it cannot compare two of them. See `mixmerge.records.Judge`."""

    def __init__(self, spec: ClassifierJudgeSpec, folder: Path = Path()) -> None:
        """Find the classifier; it is loaded when it is first needed.

        Args:
            spec: which classifier, and what its labels mean.
            folder: what a relative path is relative to.

        Raises:
            ModelError: there is no such model.
        """
        self._spec = spec
        self._folder = model_folder(spec.classifier, folder)

    @cached_property
    def name(self) -> str:
        """Classifier with a digest of its files, its threshold and what it reads."""
        digest = folder_fingerprint(self._folder)[:8]
        label = f"{Path(self._spec.classifier).name}-{digest}"
        return f"{label} ({self._spec.reads}, yes from {self._spec.threshold})"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Refuse: a classifier of single texts cannot say which of two is better.

        Raises:
            SpecError: always.
        """
        del prompts, answers, base_answers, progress
        raise SpecError(
            f"general: the classifier {self._spec.classifier} judges single answers and cannot "
            "compare two. Use a judge model, or people's verdicts, for this axis."
        )

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request.

        Raises:
            ModelError: the classifier cannot be loaded.
            SpecError: `labels` are not those of the classifier.
        """
        rows = list(zip(prompts, answers, strict=True))
        size = self._spec.batch_size
        # Texts of similar length share a batch, so that little of it is padding.
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i][0].text + rows[i][1].text))
        said: dict[int, tuple[float, str]] = {}
        for start in range(0, len(rows), size):
            places = order[start : start + size]
            found = self._probabilities([rows[place] for place in places])
            said |= dict(zip(places, found, strict=True))
            progress(len(said), len(rows), "judgements")
        return [
            verdict(
                prompt,
                axis,
                self.name,
                "yes" if said[place][0] >= self._spec.threshold else "no",
                said[place][1],
            )
            for place, (prompt, _) in enumerate(rows)
        ]

    def _probabilities(self, rows: Sequence[tuple[Prompt, Response]]) -> list[tuple[float, str]]:
        """Return the probability of the ``yes`` labels for each row, and how it came about."""
        import torch

        answers = [answer.text for _, answer in rows]
        texts = [answers] if self._spec.reads == "answer" else [[p.text for p, _ in rows], answers]
        whole = self._tokenizer(*texts)["input_ids"]
        # Of a long pair, the longer text loses tokens first: a short answer is read to its end.
        inputs = self._tokenizer(
            *texts, truncation=True, max_length=self._longest, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = self._network(**inputs.to(self._network.device)).logits.float().cpu()
        config = self._network.config
        independent = config.problem_type == "multi_label_classification"
        chances = torch.sigmoid(logits) if independent else torch.softmax(logits, dim=-1)
        harmful = [i for i, label in config.id2label.items() if self._spec.labels[label] == "yes"]
        yes = chances[:, harmful].amax(dim=1) if independent else chances[:, harmful].sum(dim=1)
        return [
            (chance, f"yes {chance:.3f}" + self._cut(len(tokens)))
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
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelError(f"{self._folder}: the tokenizer cannot be loaded: {error}") from error
        if tokenizer.pad_token is None:  # as of classifiers made from a language model
            if tokenizer.eos_token is None:
                raise ModelError(
                    f"{self._folder}: the tokenizer names neither a `pad_token` nor an "
                    "`eos_token`, so texts of different lengths cannot be read together. Name "
                    "one in tokenizer_config.json."
                )
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer

    @cached_property
    def _network(self) -> Any:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            network = AutoModelForSequenceClassification.from_pretrained(
                self._folder, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self._folder}: cannot be loaded as a classifier: {error}"
            ) from error
        own, named = set(network.config.id2label.values()), set(self._spec.labels)
        if own != named:
            raise SpecError(
                f"`labels` must name the labels of {self._spec.classifier}, which are "
                f"{', '.join(sorted(own))} (seen: {', '.join(sorted(named))})."
            )
        if network.config.pad_token_id is None:
            network.config.pad_token_id = self._tokenizer.pad_token_id
        return network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
