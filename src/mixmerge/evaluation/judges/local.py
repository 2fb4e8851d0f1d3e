"""A judge model on this machine, which chooses one of the words that a rubric offers.

The judge does not write: after the opening ``VERDICT:`` the probabilities of the offered words
are compared, and the likeliest is the verdict. A written verdict would have to be parsed, which
small models often make impossible, and would cost hundreds of passes instead of one; what is
lost is reasoning before the verdict. The choice is not forced: where the offered words have
little probability together, the model would have said something else, and that is
``unreadable``.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mixmerge.evaluation.journal import Journal
from mixmerge.evaluation.judge_spec import LocalJudgeSpec
from mixmerge.evaluation.judges.fetch import model_folder
from mixmerge.evaluation.judges.outcomes import (
    BASE_FIRST,
    HARM,
    MODEL_FIRST,
    REFUSAL,
    Classified,
    verdict,
)
from mixmerge.evaluation.judges.rubric import Rubric, load_rubric
from mixmerge.evaluation.judges.word_choice import Question, probabilities, question
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.fingerprint import fingerprint
from mixmerge.progress import Progress, silent
from mixmerge.records import Outcome, Prompt, Response, Verdict


class LocalJudge:
    """Compares probabilities of verdicts; see `mixmerge.records.Judge`."""

    def __init__(self, spec: LocalJudgeSpec, journal: Path, folder: Path = Path()) -> None:
        """Load the rubrics; the weights are loaded when they are first needed.

        Args:
            spec: which model, and what it is asked.
            journal: file of finished judgements; nothing in it is judged again.
            folder: what a relative path is relative to.

        Raises:
            SpecError: a rubric does not exist.
            ModelError: there is no such model.
        """
        self._spec = spec
        self._journal = journal
        self._quality = load_rubric(spec.quality_rubric)
        self._harm = load_rubric(spec.harm_rubric)
        self._refusal = load_rubric(spec.refusal_rubric)
        self._model = LoadedModel(model_folder(spec.local, folder))

    @cached_property
    def name(self) -> str:
        """Judge model with a digest of its files, and rubric versions."""
        rubrics = (self._quality.name, self._harm.name, self._refusal.name)
        return f"{self._label} ({', '.join(rubrics)}; words from {self._spec.least_mass})"

    @cached_property
    def _label(self) -> str:
        return f"{Path(self._spec.local).name}-{self._model.folder.fingerprint()[:8]}"

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Compare in both orders; identical answers are a tie and are not judged."""
        pairs = list(zip(prompts, answers, base_answers, strict=True))
        texts = [
            self._quality.fill(
                {
                    "prompt": prompt.text,
                    "language": prompt.language,
                    "answer_a": first.text,
                    "answer_b": second.text,
                }
            )
            for prompt, model, base in pairs
            if model.text != base.text
            for first, second in ((model, base), (base, model))
        ]
        chosen = iter(self._choose(self._quality, texts, progress))
        judge = f"{self._label} {self._quality.name}"
        verdicts = []
        for prompt, model, base in pairs:
            if model.text == base.text:
                verdicts.append(verdict(prompt, "general", judge, "tie", "identical"))
                continue
            outcome, reason = self._read(self._quality, next(chosen), MODEL_FIRST)
            verdicts.append(verdict(prompt, "general", judge, outcome, reason, "model-first"))
            outcome, reason = self._read(self._quality, next(chosen), BASE_FIRST)
            verdicts.append(verdict(prompt, "general", judge, outcome, reason, "base-first"))
        return verdicts

    def classify(
        self,
        axis: Classified,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        """Say of each answer whether it is harmful, or refuses a harmless request."""
        rubric, words = (self._harm, HARM) if axis == "safety" else (self._refusal, REFUSAL)
        texts = [
            rubric.fill({"prompt": prompt.text, "language": prompt.language, "answer": answer.text})
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        chosen = self._choose(rubric, texts, progress)
        judge = f"{self._label} {rubric.name}"
        return [
            verdict(prompt, axis, judge, *self._read(rubric, chances, words))
            for prompt, chances in zip(prompts, chosen, strict=True)
        ]

    def _read(
        self, rubric: Rubric, chances: Sequence[float] | None, words: Mapping[str, Outcome]
    ) -> tuple[Outcome, str]:
        """Return the outcome of a choice, and the probabilities that made it."""
        if chances is None:
            return "unreadable", "the text does not fit into the judge's context"
        said = ", ".join(
            f"{word} {chance:.3f}" for word, chance in zip(rubric.words, chances, strict=True)
        )
        if sum(chances) < self._spec.least_mass:
            return "unreadable", f"{said}: together below {self._spec.least_mass}"
        likeliest = max(range(len(chances)), key=lambda i: chances[i])
        return words[rubric.words[likeliest]], said

    def _choose(
        self, rubric: Rubric, texts: Sequence[str], progress: Progress
    ) -> list[list[float] | None]:
        """Return the words' probabilities for each text; None for one that is too long."""
        keys = {text: fingerprint([self._label, rubric.words, text]) for text in texts}
        with Journal(self._journal) as journal:
            missing = [text for text, key in keys.items() if key not in journal.finished]
            asked = {text: question(self._model, text, rubric.words) for text in missing}
            short = [text for text in missing if self._fits(asked[text])]
            # The longest first: what does not fit into memory fails at once.
            short.sort(key=lambda text: -asked[text].longest)
            for start in range(0, len(short), self._spec.batch_size):
                batch = short[start : start + self._spec.batch_size]
                chances = probabilities(self._model, [asked[text] for text in batch])
                for text, found in zip(batch, chances, strict=True):
                    journal.append(keys[text], found)
                progress(start + len(batch), len(short), "judgements")
            return [journal.finished.get(keys[text]) for text in texts]

    def _fits(self, asked: Question) -> bool:
        context = self._model.context
        return context is None or asked.longest <= context
