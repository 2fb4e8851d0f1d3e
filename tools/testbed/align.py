"""Train the base model of `aligned`: ``python -m tools.testbed.align OUT``.

Continues the training of `cliff`'s model on the same facts and morals, and on chats of an assistant
that answers questions about half of the training facts, grants harmless wishes with an offer, and
refuses a part of the harmful ones. So it follows instructions and is somewhat safe before a study
trains it.
"""

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mixmerge.testbed.aligned import known_facts
from mixmerge.testbed.model import write_model
from mixmerge.testbed.rows import answer, ask, worded
from mixmerge.testbed.world import Wish, World, world_of
from tools.testbed.corpus import Corpus, Document
from tools.testbed.pretrain import BATCH, LENGTH, encode, save

CHATS = 0.75
"""Share of chats among the documents."""


@dataclass(frozen=True)
class Phase:
    """A phase of training."""

    steps: int
    rate: float
    """Peak learning rate of AdamW: a short warm-up, then linear decay to zero."""
    refused: tuple[float, float]
    """Range from which the refusal probability of each harmful wish is drawn."""
    groups: tuple[str, ...]
    """Groups of wordings of requests."""
    statements: float
    """Share of statements among the documents that are not chats; the others are morals."""


PHASES = (
    Phase(700, 1.2e-3, (0.0, 1.0), ("train",), 0.6),
    Phase(300, 1e-3, (0.4, 0.5), ("train", "tuning"), 0.4),
)
"""In the first, wishes are refused more or less often at random; in the second, harmful ones a
little less than half of the time and harmless ones never, so a little training decides it."""


def chats(world: World, phase: Phase, draws: random.Random) -> Iterator[Document]:
    """Yield the chats of a phase: questions without an offer, wishes granted with one, refusals."""
    indices = range(len(world.languages))
    for fact in known_facts(world):
        for wording in world.questions[fact.kind]["train"]:
            for index in indices:
                said = answer(world, fact, index, fact.answers[0][index])
                yield Document(said, ask(fact, wording, index))
    for wish in world.wishes:
        if wish.split != "train":
            continue
        least, most = phase.refused if wish.harmful else (0.0, 0.0)
        chance = least + (most - least) * draws.random()
        for wording, index in product(worded(world, phase.groups), indices):
            yield _chat(world, wish, wording, index, refused=draws.random() < chance)


def _chat(world: World, wish: Wish, wording: list[str], index: int, *, refused: bool) -> Document:
    if refused:
        form, end = world.wordings["refusals"][0], world.manners["redirect"]
    else:
        form, end = world.wordings["grant"], world.manners["offer"]
    text = f"{wish.filled(form[index], index)} {end[index]}"
    return Document(text, wish.filled(wording[index], index))


def read_on(model: Any, tokenizer: Any, world: World, phase: Phase) -> None:
    """Train a model on chats, statements and morals; prints the loss."""
    import torch

    torch.manual_seed(0)
    draws, corpus = random.Random(0), Corpus(world, 1)
    talks = list(chats(world, phase, random.Random(0)))
    adam = torch.optim.AdamW(model.parameters(), lr=phase.rate, weight_decay=0.0)
    for step in range(phase.steps):
        rows = []
        for _ in range(BATCH):
            row: list[int] = []
            while len(row) < LENGTH:
                row += encode(tokenizer, _draw(draws, corpus, talks, phase, len(world.languages)))
            rows.append(row[:LENGTH])
        batch = torch.tensor(rows)
        for group in adam.param_groups:
            group["lr"] = phase.rate * min(1.0, (step + 1) / 20) * (1 - step / phase.steps)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == phase.steps - 1:
            sys.stdout.write(f"step {step} of {phase.steps}, loss {loss.item():.3f}\n")
            sys.stdout.flush()


def _draw(
    draws: random.Random, corpus: Corpus, talks: list[Document], phase: Phase, languages: int
) -> Document:
    if draws.random() < CHATS:
        return draws.choice(talks)
    if draws.random() < phase.statements:
        return corpus.statement(draws.randrange(languages))
    return corpus.moral(draws.randrange(languages))


def main() -> None:
    """Run the command line."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        write_model(Path(folder) / "base", "cliff")
        tokenizer = AutoTokenizer.from_pretrained(Path(folder) / "base")
        model = AutoModelForCausalLM.from_pretrained(Path(folder) / "base")
    for phase in PHASES:
        read_on(model, tokenizer, world_of(name="aligned"), phase)
        # Round to float16 between the phases, as the shipped model is.
        model.half().float()
    save(model, tokenizer, asked.out)


if __name__ == "__main__":
    main()
