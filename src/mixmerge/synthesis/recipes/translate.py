"""Translate rows with a model, and check that what is no language was kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from mixmerge.errors import ResourceError
from mixmerge.evaluation.spec import AxisName
from mixmerge.records import Message
from mixmerge.spec_model import SpecModel
from mixmerge.synthesis.asking import Ask
from mixmerge.synthesis.model_spec import Seq2seqSpec
from mixmerge.synthesis.protected import not_kept
from mixmerge.synthesis.recipes.recipe import (
    AS_MATERIAL,
    Job,
    Made,
    ModelRecipe,
    StepContext,
)
from mixmerge.synthesis.replies import UnusableError, marked
from mixmerge.synthesis.row import Kind, MadeBy, Row

CHRF = "chrf"
"""The least chrF (Popović 2015) of a row's texts with their translations back, 0 to 100."""


class BackTranslation(SpecModel):
    """The translation is translated back and compared with the source."""

    chrf: float = Field(ge=0, le=100)
    """The least chrF (Popović 2015, by sacrebleu) of each text with its translation back; rows
    below are left out."""
    model: AxisName | None = None
    """Which of ``models`` translates back; by default the one that translates."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that computes chrF."""
        return ("sacrebleu",)


class Translate(ModelRecipe):
    """The rows in other languages: prompts, answers and pairs, each text on its own."""

    key = "translate"
    translates = True
    takes = frozenset({"prompt", "messages", "pair"})
    template = (
        "Translate the text below from the language with the ISO 639 code {{source}} into the "
        "language with the code {{language}}. Translate naturally and completely, in the same "
        "tone. Keep code, addresses, tags and placeholders such as {name} exactly as they are."
        "{{names}}\n" + AS_MATERIAL + "\nWrite the translation between <reply> and </reply>, and "
        "nothing else."
    )

    translate: tuple[Annotated[str, Field(min_length=2)], ...] = Field(min_length=1)
    """The languages, as ISO 639 codes. Rows that are in one already are not translated into it."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Of the sampling; 0 is greedy."""
    names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Names to keep as they are written."""
    back_translation: BackTranslation | None = None
    """Check each translation by translating it back."""

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the translations."""
        return self.translate

    def gives(self, taken: Kind) -> Kind:
        """Return that a row stays what it is."""
        return taken

    def asked_models(self) -> tuple[str, ...]:
        """Return the names of the models that translate, there and back."""
        back = self.back_translation.model if self.back_translation else None
        return (*super().asked_models(), *([back] if back else []))

    def make(self, rows: Sequence[Row], context: StepContext) -> Made:
        """Translate, and then translate back if that is asked."""
        made = super().make(rows, context)
        there = sum(row.language in self.translate for row in rows)
        if there:
            made.notes.append(f"{there:,} rows are in one of the languages already")
        if self.back_translation is None:
            return made
        by_id = {row.id: row for row in rows}
        jobs = []
        for row in made.rows:
            try:
                jobs.append(self._back(row, by_id, context))
            except UnusableError as why:
                made.drop(context.step, row, why)
        checked = self.run(jobs, context)
        return Made(checked.rows, [*made.dropped, *checked.dropped], notes=made.notes)

    def jobs(self, row: Row, context: StepContext) -> Iterable[Job]:
        """Yield the questions for each language: one for each text."""
        for language in self.translate:
            if language != row.language:
                yield self._there(row, language, context)

    def _there(self, row: Row, language: str, context: StepContext) -> Job:
        texts = texts_of(row)
        asks = tuple(self._asked(context, row, text, text, language) for text in texts)
        by = self.made_by(context, asks[0], to=language, source=row.id)

        def finish(replies: list[list[str]]) -> Iterator[Row]:
            translated = [reply[0] for reply in replies]
            for text, translation in zip(texts, translated, strict=True):
                if problems := not_kept(text, translation, self.names):
                    raise UnusableError("not kept in the translation", "; ".join(problems))
            yield _with_texts(row, translated, by, language=language, translated="machine")

        return Job(row, asks, finish)

    def _back(self, row: Row, sources: dict[str, Row], context: StepContext) -> Job:
        assert self.back_translation is not None
        least, model = self.back_translation.chrf, self.back_translation.model
        *earlier, by = row.provenance.made_by
        source = sources[by.parameters["source"]]
        asks = tuple(
            self._asked(context, row, text, original, source.language, model)
            for text, original in zip(texts_of(row), texts_of(source), strict=True)
        )
        back_by = context.asker.name(asks[0].model)

        def finish(replies: list[list[str]]) -> Iterator[Row]:
            pairs = zip(texts_of(source), replies, strict=True)
            score = min(chrf(reply[0], text) for text, reply in pairs)
            if score < least:
                back = replies[0][0][:200]
                reason = f"chrF of the translation back below {least:g}"
                raise UnusableError(reason, f"{score:.1f}; the first text came back as {back!r}")
            checked = by.model_copy(
                update={
                    "parameters": {**by.parameters, "back": back_by},
                    "measured": {CHRF: round(score, 1)},
                }
            )
            origin = row.provenance.model_copy(update={"made_by": tuple(earlier)})
            yield row.model_copy(update={"provenance": origin}).derived(checked)

        return Job(row, asks, finish)

    def _asked(
        self,
        context: StepContext,
        row: Row,
        text: str,
        expected: str,
        language: str,
        model: str | None = None,
    ) -> Ask:
        """Return the question for a text of a row in another language."""
        name = model or self.model
        assert name is not None, "the specification names the model of every step"
        spec = context.asker.specs[name]
        stand_in = f"<reply>{expected}</reply>"
        if not isinstance(spec, Seq2seqSpec):
            kept = [each for each in self.names if each in text]
            names = f" Keep these names as they are written: {', '.join(kept)}." if kept else ""
            content = self.fill(text=text, source=row.language, language=language, names=names)
            return self.ask(context, row, content, stand_in=stand_in, model=model)
        if row.language not in spec.reads or language not in spec.languages:
            direction = f"from {row.language} into {language}"
            raise UnusableError("a language that the model lacks", f"{name} {direction}")
        asked = self.ask(context, row, text, stand_in=stand_in, model=model, temperature=0.0)
        return replace(asked, direction=(row.language, language))

    def made_by(self, context: StepContext, ask: Ask, **parameters: Any) -> MadeBy:
        """Return the entry of a row's provenance; a translation model has no instruction."""
        by = super().made_by(context, ask, **parameters)
        spec = context.asker.specs[ask.model]
        if not isinstance(spec, Seq2seqSpec):
            return by
        own = {"beams": spec.beams, "as": spec.languages[parameters["to"]]}
        own |= {"max_tokens": self.max_tokens, **parameters}
        return by.model_copy(update={"prompt": "", "parameters": own})

    def parse(self, text: str) -> list[str]:
        """Return the translation in a reply."""
        return marked(text)


def texts_of(row: Row) -> list[str]:
    """Return every text of a row: its turns, or the turns of its prompt and both answers."""
    return [*(turn.content for turn in row.asked), *row.answers]


def _with_texts(row: Row, texts: Sequence[str], by: MadeBy, **changes: Any) -> Row:
    turns = [
        turn.model_copy(update={"content": text})
        for turn, text in zip(row.messages or row.asked, texts, strict=False)
    ]
    messages: tuple[Message, ...] = tuple(turns)
    if row.kind == "messages":
        return row.derived(by, messages=messages, **changes)
    pair = {"chosen": texts[-2], "rejected": texts[-1]} if row.kind == "pair" else {}
    return row.derived(by, prompt=messages, **pair, **changes)


def chrf(hypothesis: str, reference: str) -> float:
    """Return the chrF of two texts, 0 to 100.

    Raises:
        ResourceError: the package ``sacrebleu`` is not installed.
    """
    return float(_metric().sentence_score(hypothesis, [reference]).score)


@cache
def _metric() -> Any:
    try:
        from sacrebleu.metrics.chrf import CHRF as Metric  # noqa: N811
    except ImportError:
        raise ResourceError(
            "`back_translation` needs the package sacrebleu: pip install 'mixmerge[data]'."
        ) from None
    return Metric()


RECIPE = Translate
