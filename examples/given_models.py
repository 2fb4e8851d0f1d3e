"""Make what ``examples/given_models.yaml`` names: a base model, three fine-tunes and two test sets.

    python examples/given_models.py

The base is the model of the testbed, of 1.3 million weights. One fine-tune says which of four
months comes first, one refuses harmful requests, one has learnt both from half of each one's rows.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import mixmerge
from mixmerge.mixing.spec import MixSpec
from mixmerge.records import Prompt
from mixmerge.testbed.data import preference_pairs, prompts
from mixmerge.testbed.model import write_model
from mixmerge.training.spec import TrainJob

OUT = Path("runs/given")
ROWS = 400


def write(name: str, rows: Iterable[dict[str, object]]) -> None:
    """Write rows as JSON Lines."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (OUT / name).write_text(text, encoding="utf-8")


def test_row(item: Prompt) -> dict[str, object]:
    """Return a test item as a row of a user's own file: a prompt and its accepted answers."""
    return {"prompt": item.text, "accepted": list(item.accepted)}


def main() -> None:
    """Write everything into ``runs/given``."""
    OUT.mkdir(parents=True, exist_ok=True)
    write_model(OUT / "base")
    for name, source in (("months", "first_month"), ("safety", "safety")):
        rows = [row for row in preference_pairs(source) if row.language == "en"]
        write(
            f"{name}-train.jsonl",
            ({"prompt": row.prompt[0].content, "answer": row.chosen} for row in rows),
        )
        items = [item for item in prompts(source, "test") if item.language == "en"]
        write(f"{name}.jsonl", map(test_row, items))
    shares = {"months": {"months": 1}, "safety": {"safety": 1}, "mixed": {"months": 1, "safety": 1}}
    sources = {name: {"files": OUT / f"{name}-train.jsonl"} for name in ("months", "safety")}
    for name, own in shares.items():
        spec = {"sources": sources, "shares": own, "languages": ["en"], "size": ROWS}
        mixmerge.mix(MixSpec.model_validate(spec), OUT / f"{name}-rows")
        job = {
            "model": str(OUT / "base"),
            "rows": OUT / f"{name}-rows" / "rows.jsonl",
            "settings": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 16},
        }
        mixmerge.train(TrainJob.model_validate(job), OUT / name)
        print(OUT / name / "model")


if __name__ == "__main__":
    main()
