"""Make what ``examples/given_models.yaml`` names: a base model, three fine-tunes and two test sets.

    python examples/given_models.py

English only: one fine-tune answers questions about facts in a word, one says which of four months
comes first, one has learnt both from half of each one's rows.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import mixmerge
from mixmerge.mixing.spec import MixSpec
from mixmerge.records import Prompt
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.model import write_model
from mixmerge.testbed.rows import ask
from mixmerge.testbed.world import world_of
from mixmerge.training.spec import TrainJob

OUT = Path("runs/given")
ROWS = 480


def write(name: str, rows: Iterable[dict[str, object]]) -> None:
    """Write rows as JSON Lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (OUT / name).write_text(text, encoding="utf-8")


def asked(items: Iterable[Prompt]) -> list[dict[str, object]]:
    """Return test items as rows of a user's own file: a prompt and its accepted answers."""
    return [
        {"prompt": item.text, "accepted": list(item.accepted)}
        for item in items
        if item.language == "en"
    ]


def main() -> None:
    """Write everything into ``runs/given``."""
    OUT.mkdir(parents=True, exist_ok=True)
    write_model(OUT / "base")
    world = world_of(["en"])
    write(
        "facts-train.jsonl",
        (
            {"prompt": ask(fact, wording, 0), "answer": fact.answers[0][0], "language": "en"}
            for fact in world.facts
            if fact.split == "train"
            for wording in world.questions[fact.kind]["train"]
        ),
    )
    write(
        "months-train.jsonl",
        (
            {"prompt": row.prompt[0].content, "answer": row.chosen, "language": "en"}
            for row in preference_pairs("first_month", ["en"])
            if row.language == "en"
        ),
    )
    kinds = set(world.questions)
    write("facts.jsonl", asked(p for p in prompts("general", "test") if p.category in kinds))
    write("months.jsonl", asked(prompts("first_month", "test")))
    sources = {
        n: {"files": OUT / f"{n}-train.jsonl", "language": "en"} for n in ("facts", "months")
    }
    shares = {"facts": {"facts": 1}, "months": {"months": 1}, "mixed": {"facts": 1, "months": 1}}
    for name, own in shares.items():
        spec = {"sources": sources, "shares": own, "languages": ["en"], "size": ROWS}
        mixmerge.mix(MixSpec.model_validate(spec), OUT / f"{name}-rows")
        job = {
            "model": str(OUT / "base"),
            "rows": OUT / f"{name}-rows" / "rows.jsonl",
            "settings": {"learning_rate": 1e-3, "epochs": 4, "batch_size": 16, "warmup_ratio": 0},
        }
        mixmerge.train(TrainJob.model_validate(job), OUT / name)
        print(OUT / name / "model")


if __name__ == "__main__":
    main()
