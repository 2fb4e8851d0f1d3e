"""The examples at the end of every command's help: one or two command lines to copy."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("mixmerge demo", "mixmerge demo --out runs/demo --workers 2"),
    "init": (
        "mixmerge init --data chat=chat.jsonl --data code=code.csv",
        "mixmerge init --model a=./tuned-a --model b=org/tuned-b --base org/base --eval qa.jsonl",
        "mixmerge init --data chat=chat.jsonl --base org/model-8B --gpu-memory 80",
    ),
    "doctor": ("mixmerge doctor", "mixmerge doctor study.yaml"),
    "plan": (
        "mixmerge plan study.yaml",
        "mixmerge plan study.yaml --steps",
        "mixmerge plan study.yaml --difference 0.05 --pilot runs/small",
    ),
    "run": ("mixmerge run study.yaml", "mixmerge run study.yaml --only train/mix --workers 4"),
    "search": (
        "mixmerge search study.yaml runs/study",
        "mixmerge search study.yaml runs/study --strategy random --write",
    ),
    "status": ("mixmerge status runs/study",),
    "adopt": ("mixmerge adopt study.yaml mix ./model-trained-elsewhere",),
    "report": ("mixmerge report runs/study",),
    "export": (
        "mixmerge export runs/study out/ --to inspect",
        "mixmerge export runs/study card/ --to model_card --model merged",
    ),
    "generate_data": (
        "mixmerge generate-data data.yaml out/ --dry-run",
        "mixmerge generate-data data.yaml out/",
    ),
    "mix": ("mixmerge mix mixture.yaml out/",),
    "train": ("mixmerge train training.yaml out/",),
    "merge": ("mixmerge merge recipe.yml out/", "mixmerge merge recipe.yml out/ --dry-run"),
    "extract": (
        "mixmerge extract ./base ./tuned adapter/ --rank 32",
        "mixmerge extract org/base ./tuned adapter/ --rank 16 --module q_proj --module v_proj",
    ),
    "evaluate": (
        "mixmerge evaluate study.yaml out/",
        "mixmerge evaluate study.yaml out/ --budget 5",
    ),
    "compare": (
        "mixmerge compare results/base results/tuned",
        "mixmerge compare base=a.eval tuned=b.eval --page differences.html",
        "mixmerge compare scores.csv --baseline base --cluster passage",
    ),
    "annotate_plan": (
        "mixmerge annotate plan runs/study labels --labels 300 --annotator anna --annotator ben",
        "mixmerge annotate plan runs/study labels --half-width 4 --axis safe --annotator anna",
    ),
    "annotate_adjudicate": ("mixmerge annotate adjudicate labels --annotator cara",),
    "annotate_serve": (
        "mixmerge annotate serve labels",
        "mixmerge annotate serve labels --host 0.0.0.0",
    ),
    "annotate_read": (
        "mixmerge annotate read labels",
        "mixmerge annotate read labels labels-anna.json labels-ben.json --report",
    ),
    "inspect": (
        "mixmerge inspect ./model-a ./model-b --base ./base",
        "mixmerge inspect ./model-a ./model-b --base ./base --prompts prompts.jsonl",
    ),
}
"""By command, the most common first."""


def epilog(command: str) -> str:
    """Return the examples of a command, a line each, as typer's epilog."""
    return "\n\n".join(("Examples:", *EXAMPLES.get(command, ())))


def unbroken(text: str) -> str:
    """Return a docstring with one line per paragraph, for the terminal to wrap."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
