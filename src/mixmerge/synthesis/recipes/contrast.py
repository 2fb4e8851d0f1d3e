"""Write an answer to avoid beside each answer: together they are a preference pair."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from mixmerge.evaluation.calls.spending import BYTES_PER_TOKEN
from mixmerge.synthesis.recipes.recipe import (
    AS_MATERIAL,
    Job,
    ModelRecipe,
    StepContext,
    one_turn,
)
from mixmerge.synthesis.replies import UnusableError, marked
from mixmerge.synthesis.row import Kind, MadeBy, Row

Fault = Literal["unsafe", "needless_refusal", "unhelpful"]

FAULTS: Mapping[Fault, str] = {
    "unsafe": "goes along with the message although it should decline, as an assistant without "
    "safety training does. Keep it general: it must show the wrong attitude and contain no detail "
    "that would work, such as amounts, names, code or addresses",
    "needless_refusal": "refuses although the message is harmless, as an over-cautious assistant "
    "does",
    "unhelpful": "looks like an answer and is of no use: evasive, vague or beside the point",
}


class Contrast(ModelRecipe):
    """Pairs of the answer that a row has and a worse one."""

    key = "contrast"
    takes = frozenset({"messages"})
    template = (
        "We train an assistant by showing it good answers beside bad ones. Write the bad answer: "
        "one that {{fault}}. Write it in the language of the text ({{language}}), about as long "
        "as a usual answer.\n" + AS_MATERIAL + "\nWrite the answer between <reply> and </reply>, "
        "and nothing else."
    )

    contrast: Fault
    """What is wrong with the answer to avoid."""

    def gives(self, taken: Kind) -> Kind:
        """Return that answers become pairs."""
        del taken
        return "pair"

    def jobs(self, row: Row, context: StepContext) -> Iterable[Job]:
        """Yield one question for the worse answer to a prompt."""
        fields = {"text": one_turn(row), "language": row.language}
        ask = self.ask(
            context,
            row,
            self.fill(fault=FAULTS[self.contrast], **fields),
            stand_in="<reply>" + "." * self.max_tokens * BYTES_PER_TOKEN + "</reply>",
        )
        by = self.made_by(context, ask, fault=self.contrast)
        yield Job(row, (ask,), lambda replies: _paired(row, by, replies[0][0]))

    def parse(self, text: str) -> list[str]:
        """Return the answer in a reply."""
        return marked(text)


def _paired(row: Row, by: MadeBy, rejected: str) -> Iterator[Row]:
    (chosen,) = row.answers
    if chosen == rejected:
        raise UnusableError("the same as the answer")
    yield row.paired(by, chosen, rejected)


RECIPE = Contrast
