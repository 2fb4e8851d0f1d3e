"""A judgement, in a process of its own, that may be killed at any moment.

    python -m tests.evaluation.calls.judging_client URL FOLDER PAIRS

Writes ``FOLDER/calls.jsonl`` and, when all is done, ``FOLDER/verdicts.jsonl``.
"""

import sys
from pathlib import Path

from mixmerge.evaluation.calls import endpoint
from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec
from mixmerge.evaluation.judging import judge
from mixmerge.records import Message, Prompt, Question, Response

IN_FLIGHT = 4
"""So few that a journal which kept answers back would lose more than were in flight."""


def main(url: str, folder: Path, pairs: int) -> None:
    prompts = [
        Prompt(
            id=f"q{number}",
            cluster=f"q{number}",
            language="en",
            messages=(Message(role="user", content=f"question {number}"),),
        )
        for number in range(pairs)
    ]
    answers, base = (
        [
            Response(prompt=p.id, text=f"{who} {p.id}", finish_reason="stop", tokens=1)
            for p in prompts
        ]
        for who in ("new", "old")
    )
    endpoint.FIRST_BACK_OFF = 0.02
    spec = EndpointJudgeSpec(
        endpoint=url,
        model="judge",
        concurrency=IN_FLIGHT,
        timeout_seconds=5,
        attempts=5,
        price={"input": 1, "output": 1},
    )
    judge(
        Question("general", "comparison"),
        prompts,
        answers,
        base_answers=base,
        by=EndpointJudge(spec, folder / "calls.jsonl"),
        out=folder / "verdicts.jsonl",
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
