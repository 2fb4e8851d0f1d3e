"""Grow new prompts from each prompt, and measure how varied they are."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import Field

from mixmerge.synthesis.diversity import diversity
from mixmerge.synthesis.recipes.recipe import (
    AS_MATERIAL,
    Job,
    Made,
    ModelRecipe,
    StepContext,
    as_prompts,
    list_schema,
    listed,
    one_turn,
)
from mixmerge.synthesis.row import Kind, Row


class Rephrase(ModelRecipe):
    """New prompts that ask for the same kind of thing in other ways."""

    key = "rephrase"
    takes = frozenset({"prompt"})
    template = (
        "You write requests of the kind that people send to an assistant. They are used to train "
        "and test assistants.\n\nWrite {{n}} new requests that ask for the same kind of thing as "
        "the text below, each in another way: another wording, length, tone, situation or detail. "
        "Write them in the language of the text ({{language}}). Each must stand alone. Do not "
        "answer them.\n" + AS_MATERIAL + "\nReply with one JSON object and nothing else: "
        '{"requests": ["…", "…"]}'
    )

    rephrase: int = Field(ge=1, le=50)
    """New prompts for each."""
    temperature: float = Field(1.0, ge=0, le=2)
    """Of the sampling; 0 is greedy."""

    def gives(self, taken: Kind) -> Kind:
        """Return that prompts become prompts."""
        return taken

    def make(self, rows: Sequence[Row], context: StepContext) -> Made:
        """Make the prompts, and compare their variety with that of the rows before."""
        made = super().make(rows, context)
        if not context.asker.planning:
            made.measured = diversity(
                [row.prompt_text for row in rows], [row.prompt_text for row in made.rows]
            )
        return made

    def jobs(self, row: Row, context: StepContext) -> Iterable[Job]:
        """Yield one question for all new prompts, so that the model sees what it wrote."""
        text, n = one_turn(row), self.rephrase
        ask = self.ask(
            context,
            row,
            self.fill(text=text, language=row.language, n=str(n)),
            stand_in=json.dumps([f"{text} ({number})" for number in range(n)]),
        )
        by = self.made_by(context, ask)
        yield Job(row, (ask,), lambda replies: as_prompts(row, replies[0], n, by))

    def parse(self, text: str) -> list[str]:
        """Return the requests in a reply."""
        return listed(text, "requests")

    def reply_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a reply."""
        return list_schema("requests")


RECIPE = Rephrase
