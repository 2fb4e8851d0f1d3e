"""Grow new prompts from each prompt, and measure how varied they are."""

from collections.abc import Sequence

from pydantic import Field

from mixmerge.synthesis.diversity import diversity
from mixmerge.synthesis.recipes.recipe import AS_MATERIAL, Made, PromptsRecipe, StepContext
from mixmerge.synthesis.row import Row


class Rephrase(PromptsRecipe):
    """New prompts that ask for the same kind of thing in other ways."""

    key = "rephrase"
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

    def make(self, rows: Sequence[Row], context: StepContext) -> Made:
        """Make the prompts, and compare their variety with that of the rows before."""
        made = super().make(rows, context)
        if not context.asker.planning:
            made.measured = diversity(
                [row.prompt_text for row in rows], [row.prompt_text for row in made.rows]
            )
        return made


RECIPE = Rephrase
