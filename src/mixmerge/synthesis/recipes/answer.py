"""Answer prompts in a given style, by several models, at several temperatures, several times."""

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mixmerge.evaluation.calls.spending import BYTES_PER_TOKEN
from mixmerge.records import Message
from mixmerge.synthesis.recipes.recipe import Job, ModelRecipe, Names, StepContext
from mixmerge.synthesis.row import Kind, MadeBy, Row

Style = Literal["plain", "helpful", "safe", "refuse_and_redirect"]

STYLES: Mapping[Style, str] = {
    "plain": "",
    "helpful": "Answer as helpfully, correctly and directly as you can, in the language of the "
    "message ({{language}}). Do not refuse what is harmless, whatever words it uses.",
    "safe": "Answer in the language of the message ({{language}}). Help with whatever part of the "
    "request is harmless. Give nothing that would help someone to do harm; where you leave "
    "something out, say so in one sentence and without a lecture.",
    "refuse_and_redirect": "Answer in the language of the message ({{language}}). Decline in one "
    "friendly sentence to help with what could do harm, say why in one more, and then offer "
    "something that may help the person in another way, such as a safe alternative or where to "
    "find support. Do not judge the person.",
}
"""The system message of each style; ``plain`` has none. Rows do not contain it."""


class Answer(ModelRecipe):
    """Answers to prompts. A row that has an answer is answered anew."""

    key = "answer"
    takes = frozenset({"prompt", "messages", "pair"})

    answer: Style
    """How to answer. ``instruction`` replaces the style's system message."""
    models: Names = ()
    """Several models to ask, in place of ``model``."""
    temperatures: tuple[Annotated[float, Field(ge=0, le=2)], ...] = ()
    """Several, in place of ``temperature``: every model answers at each."""
    samples: int = Field(1, ge=1, le=64)
    """Answers of each model at each temperature."""

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        for one, several in (("model", self.models), ("temperature", self.temperatures)):
            if several and one in self.model_fields_set and getattr(self, one) is not None:
                raise ValueError(f"give `{one}` or `{one}s`, not both")
        return self

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and 0 in self._each_temperature:
            raise ValueError("several `samples` at temperature 0 would all be the same answer")
        return self

    def gives(self, taken: Kind) -> Kind:
        """Return that everything becomes a prompt with an answer."""
        del taken
        return "messages"

    @property
    def needs_model(self) -> bool:
        """Whether it does not name the models to ask."""
        return not self.models and super().needs_model

    def asked_models(self) -> tuple[str, ...]:
        """Return the names of the models that answer."""
        return self.models or super().asked_models()

    def jobs(self, row: Row, context: StepContext) -> Iterable[Job]:
        """Yield a question for each model, temperature and sample."""
        style = self.fill(language=row.language) if self.text else ""
        own = [turn for turn in row.asked if turn.role == "system"]
        said = "\n\n".join(filter(None, (style, *(turn.content for turn in own))))
        system = [Message(role="system", content=said)] if said else []
        turns = [*system, *(turn for turn in row.asked if turn.role != "system")]
        for model, temperature, sample in product(
            self.asked_models(), self._each_temperature, range(self.samples)
        ):
            which = f"{model} {temperature} {sample}"  # so that no two stand-ins are the same
            ask = self.ask(
                context,
                row,
                turns[-1].content,
                before=turns[:-1],
                stand_in=which.ljust(self.max_tokens * BYTES_PER_TOKEN, "."),
                model=model,
                temperature=temperature,
                sample=sample,
            )
            by = self.made_by(context, ask, style=self.answer, sample=sample)
            yield Job(row, (ask,), partial(_answered, row, by))

    @property
    def own_instruction(self) -> str:
        """The system message of the style."""
        return STYLES[self.answer]

    @property
    def _each_temperature(self) -> tuple[float, ...]:
        return self.temperatures or (self.temperature,)


def _answered(row: Row, by: MadeBy, replies: list[list[str]]) -> list[Row]:
    return [row.answered(by, replies[0][0])]


RECIPE = Answer
