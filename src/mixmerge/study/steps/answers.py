"""``answers/STUDENT``: let teachers answer the prompts that a student is then trained on.

This is distillation in its plain form: generate, then train on the answers (Kim and Rush 2016,
arXiv:1606.07947, sequence-level). Students with the same mixture, teachers and decoding settings
share one step, called after the first of them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from mixmerge.errors import DataError
from mixmerge.evaluation.spec import AnswersSpec, DecodingSpec
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_rows, write_rows
from mixmerge.progress import Progress
from mixmerge.records import (
    Conversation,
    Message,
    Prompt,
    Response,
    RowModel,
    TrainingPrompt,
)
from mixmerge.study.checkpoints import Trained
from mixmerge.study.spec import Study, expected_rows, has_weights, model_step
from mixmerge.study.steps.generate import backend_for, backend_of, decoding_of
from mixmerge.study.steps.kind import ROWS, StepKind, model_path
from mixmerge.study.steps.mix import mixed

FOLDER = "answers"
"""Name of the folder of all answers, one file for each source."""


class AnswersSettings(AnswersSpec):
    """How the teachers answer."""

    teachers: dict[str, dict[str, Any]]
    """By source: whatever of a teacher's backend changes its answers."""


class AnswersFacts(RowModel):
    """How many answers there are, and what they took."""

    rows: int
    """Rows to train on, copies of a row included."""
    answers: int
    """Distinct prompts answered."""
    tokens: int
    """Tokens that the teachers wrote."""
    teacher_tokens: int
    """Tokens that went through the teachers: prompts and answers. Of teachers of which only an
    endpoint is given, the answers alone."""
    flops: int | None
    """2 for each of these tokens and weight; None if a teacher's weights are not known."""
    notes: list[str] = []
    """What was left out or cut off, a sentence each."""


class Answers(StepKind[AnswersSettings, AnswersFacts], kind="answers"):
    """Answers the prompts of one mixture, each by the teacher of its source."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for the first of the students with the same answers."""
        for name, checkpoint in study.trained().items():
            if study.answered(name) and answers_step(study, name) == f"{self.kind}/{name}":
                yield self._step(study, name, checkpoint)

    def _step(self, study: Study, name: str, checkpoint: Trained) -> Step:
        backends = {
            source: backend_of(study, study.evaluate, teacher)
            for source, teacher in checkpoint.teachers.items()
        }
        settings = decoding(study, checkpoint).model_dump(mode="json")
        settings["teachers"] = {source: spec.identity() for source, spec in backends.items()}
        where = study.placement.generate
        placement = where.model_dump(mode="json")
        placement["teachers"] = {s: spec.model_dump(mode="json") for s, spec in backends.items()}
        gpus = max(spec.gpus for spec in backends.values())
        mixture = study.mixtures[checkpoint.mixture]
        rows = expected_rows(mixture.size, mixture.unit)
        return Step(
            self.kind,
            name,
            settings,
            {
                "rows": f"mix/{mixed(checkpoint.mixture, 'prompts')}",
                **teachers_of(study, checkpoint),
            },
            placement=placement,
            by_output=True,
            needs=Needs(cpus=where.threads, gpus=gpus, seconds=0.02 * rows),
        )

    def run(self, task: Task, settings: AnswersSettings, progress: Progress) -> AnswersFacts:
        """Let the teachers answer, and write the rows of the training.

        Raises:
            DataError: no answer can be trained on, or a prompt is longer than a teacher's context.
        """
        from mixmerge.evaluation.generate import remove_journals

        rows = read_rows(task.inputs["rows"] / ROWS, TrainingPrompt)
        asked: dict[str, dict[str, Prompt]] = {source: {} for source in settings.teachers}
        for row in rows:  # copies of a row are answered once
            prompt = Prompt(id=_id(row), cluster=row.id, language=row.language, messages=row.prompt)
            asked[row.source][prompt.id] = prompt
        answers: dict[str, Response] = {}
        spent: list[tuple[int, int | None]] = []
        for source, made in _answered(task, settings, asked, progress):
            answers |= {answer.prompt: answer for answer in made}
            spent.append(_spent(task, source, asked[source], made, _decoding(settings)))
        kept = _kept(rows, answers, settings)
        write_rows(task.folder / ROWS, kept)
        remove_journals(task.folder / FOLDER)
        flops = [operations for _, operations in spent if operations is not None]
        return AnswersFacts(
            rows=len(kept),
            answers=len(answers),
            tokens=sum(answer.tokens for answer in answers.values()),
            teacher_tokens=sum(tokens for tokens, _ in spent),
            flops=sum(flops) if len(flops) == len(spent) else None,
            notes=_notes(answers.values(), settings),
        )


def _answered(
    task: Task,
    settings: AnswersSettings,
    asked: Mapping[str, Mapping[str, Prompt]],
    progress: Progress,
) -> Iterator[tuple[str, list[Response]]]:
    """Yield each source with the answers to its prompts; each model is loaded once."""
    from mixmerge.evaluation.generate import generate

    models: dict[str, list[str]] = {}
    for source, identity in settings.teachers.items():
        model = str([task.inputs.get(f"teacher:{source}"), identity])
        models.setdefault(model, []).append(source)
    done, total = 0, sum(map(len, asked.values()))
    for sources in models.values():
        spec = task.placement["teachers"][sources[0]]
        with closing(backend_for(task, f"teacher:{sources[0]}", spec)) as backend:
            for source in sources:
                made = generate(
                    backend,
                    [*asked[source].values()],
                    _decoding(settings),
                    task.folder / FOLDER / f"{source}.jsonl",
                    keep_journal=True,
                    progress=lambda n, _, what, at=done: progress(at + n, total, what),
                )
                done += len(made)
                yield source, made


def _decoding(settings: AnswersSettings) -> DecodingSpec:
    return DecodingSpec(**settings.model_dump(include={*DecodingSpec.model_fields}))


def answers_step(study: Study, name: str) -> str:
    """Return the step that answers the prompts of a student: that of the first with the same."""

    def meaning(of: str) -> list[Any]:
        checkpoint = study.trained()[of]
        return [checkpoint.mixture, checkpoint.teachers, decoding(study, checkpoint)]

    same = (n for n in study.trained() if study.answered(n) and meaning(n) == meaning(name))
    return f"{Answers.kind}/{next(same)}"


def decoding(study: Study, checkpoint: Trained) -> AnswersSpec:
    """Return how the teachers of a student answer."""
    own = checkpoint.answers.model_dump(exclude_unset=True) if checkpoint.answers else {}
    usual = decoding_of(study, study.evaluate.decoding).model_dump()
    return AnswersSpec.model_validate(usual | own)


def teachers_of(study: Study, checkpoint: Trained) -> dict[str, str]:
    """Return the steps of the teachers that have weights, by role."""
    return {
        f"teacher:{source}": model_step(study, teacher)
        for source, teacher in checkpoint.teachers.items()
        if has_weights(study, teacher)
    }


def _id(row: TrainingPrompt) -> str:
    return f"{row.source}/{row.language}/{row.id}"


def _spent(
    task: Task,
    source: str,
    prompts: Mapping[str, Prompt],
    answers: Sequence[Response],
    decoding: DecodingSpec,
) -> tuple[int, int | None]:
    """Return the tokens that went through a teacher, and the operations that this took."""
    tokens = sum(answer.tokens for answer in answers)
    folder = task.inputs.get(f"teacher:{source}")
    if folder is None:
        return tokens, None
    from mixmerge.evaluation.backends.encoding import encode
    from mixmerge.evaluation.loaded_model import LoadedModel

    model = LoadedModel(model_path(folder))
    tokens += sum(len(each.ids) for each in encode([*prompts.values()], model, decoding))
    return tokens, 2 * model.folder.weights * tokens


def _kept(
    rows: Iterable[TrainingPrompt], answers: Mapping[str, Response], settings: AnswersSettings
) -> list[Conversation]:
    """Return the rows with their answers, without those that cannot be trained on."""
    kept = [
        Conversation(
            id=row.id,
            source=row.source,
            language=row.language,
            # The teacher has not written what the assistant said before.
            messages=(
                *(
                    turn.model_copy(update={"weight": 0}) if turn.role == "assistant" else turn
                    for turn in row.prompt
                ),
                Message(role="assistant", content=answers[_id(row)].text),
            ),
        )
        for row in rows
        if not _left_out(answers[_id(row)], settings)
    ]
    if not kept:
        why = " ".join(_notes(answers.values(), settings))
        said = f"No answer of a teacher can be trained on. {why}"
        raise DataError(f"{said} Raise `max_new_tokens`, or ask another teacher.")
    return kept


def _left_out(answer: Response, settings: AnswersSettings) -> bool:
    cut = answer.finish_reason == "length" and settings.unfinished == "drop"
    return cut or not answer.text.strip()


def _notes(answers: Collection[Response], settings: AnswersSettings) -> list[str]:
    """Return what happened to answers that do not end or say nothing, a sentence each."""
    empty = sum(not answer.text.strip() for answer in answers)
    cut = sum(answer.finish_reason == "length" and bool(answer.text.strip()) for answer in answers)
    notes = []
    if empty:
        notes.append(f"{empty:,} of {len(answers):,} answers of the teachers are empty: left out.")
    if cut:
        how = (
            "left out"
            if settings.unfinished == "drop"
            else "trained on as if they ended there (`answers: {unfinished: drop}` leaves them out)"
        )
        notes.append(
            f"{cut:,} of {len(answers):,} answers of the teachers reached `max_new_tokens`: {how}."
        )
    return notes


KINDS = (Answers(),)
