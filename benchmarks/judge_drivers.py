"""Ways to ask an endpoint for verdicts, each run as a process of its own.

    python -m benchmarks.judge_drivers DRIVER --url URL --calls 1000 --in-flight 100 --out FOLDER

Every driver sends ``calls`` prompts of two thousand characters, reads the verdicts, keeps them on
disk as its package does, and prints one line of JSON: how many it read, and the seconds from the
first call to the last verdict on disk, without the start of Python and the imports.
"""

import argparse
import asyncio
import importlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mixmerge.evaluation.judges.endpoint import EndpointJudge
    from mixmerge.records import Item

Row = TypeVar("Row")

CHARACTERS = 2_000
MODEL = "judge"
TEMPLATE = "Which answer is better?\n\n{text}\n\nAnswer A: {a}\n\nAnswer B: {b}\n\nVERDICT: A or B"


def text(index: int, characters: int) -> str:
    """Return a text of its own for every index."""
    words = f"Question {index}: what did people eat in the old town by the river, and why? "
    return (words * (characters // len(words) + 1))[:characters]


class Made(Sequence[Row]):
    """Rows that are made when they are looked at, and held by nobody."""

    def __init__(self, count: int, make: Callable[[int], Row]) -> None:
        """Make ``count`` rows."""
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self._make(index)


def _items(count: int) -> "Sequence[Item]":
    """Return prompts, each with two answers; with the rubric they fill two thousand characters."""
    from mixmerge.records import Item, Message, Prompt, Response

    def item(index: int) -> Item:
        name = f"q{index}"
        asked = Message(role="user", content=text(index, 250))
        new, old = (
            Response(prompt=name, text=who + text(index, 225), finish_reason="stop", tokens=100)
            for who in ("new ", "old ")
        )
        return Item(Prompt(id=name, cluster=name, language="en", messages=(asked,)), new, old)

    return Made(count, item)


def _judge(url: str, in_flight: int, out: Path) -> "EndpointJudge":
    from mixmerge.evaluation.judges.endpoint import EndpointJudge, EndpointJudgeSpec

    spec = EndpointJudgeSpec(endpoint=url, model=MODEL, concurrency=in_flight)
    return EndpointJudge(spec, out / "calls.jsonl")


def mixmerge(url: str, calls: int, in_flight: int, out: Path) -> int:
    """Compare answers in both orders as an evaluation does, all rows of the axis in memory."""
    from mixmerge.evaluation.judging import judge
    from mixmerge.records import Question

    items = list(_items(calls // 2))
    verdicts = judge(
        Question("general", "comparison"),
        [item.prompt for item in items],
        [item.answer for item in items],
        base_answers=[item.reference for item in items if item.reference],
        by=_judge(url, in_flight, out),
        out=out / "verdicts.jsonl",
    )
    return sum(verdict.outcome in {"win", "loss"} for verdict in verdicts)


def mixmerge_streamed(url: str, calls: int, in_flight: int, out: Path) -> int:
    """The same, each row made when it is needed and each verdict written as it comes."""
    from mixmerge.records import Question

    read = 0
    judge, question = _judge(url, in_flight, out), Question("general", "comparison")
    with (out / "verdicts.jsonl").open("w") as stream:
        for verdict in judge.verdicts(_items(calls // 2), question):
            stream.write(verdict.model_dump_json() + "\n")
            read += verdict.outcome in {"win", "loss"}
    return read


def aiohttp(url: str, calls: int, in_flight: int, out: Path) -> int:  # noqa: ARG001
    """Only send and receive: neither journal nor parsing nor retries. The floor."""
    import aiohttp as http

    async def work(session: http.ClientSession, numbers: "list[int]") -> int:
        read = 0
        while numbers:
            content = text(numbers.pop(), CHARACTERS)
            body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                read += bool((await response.json())["choices"])
        return read

    async def everything() -> int:
        async with http.ClientSession(connector=http.TCPConnector(limit=0)) as session:
            numbers = list(range(calls))
            return sum(await asyncio.gather(*(work(session, numbers) for _ in range(in_flight))))

    return asyncio.run(everything())


def inspect_ai(url: str, calls: int, in_flight: int, out: Path) -> int:  # noqa: ARG001
    """One sample a call: generate, and a scorer that looks for the verdict."""
    import inspect_ai as inspect
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    samples = [Sample(input=text(i, CHARACTERS), target="VERDICT: ") for i in range(calls)]
    (log,) = inspect.eval(
        inspect.Task(dataset=samples, solver=generate(), scorer=includes()),
        model=f"openai-api/local/{MODEL}",
        max_connections=in_flight,
        max_samples=in_flight,
        max_tokens=512,
        log_dir=str(out),
        display="none",
    )
    return sum(bool(sample.scores) for sample in log.samples or [])


def alpaca_eval(url: str, calls: int, in_flight: int, out: Path) -> int:  # noqa: ARG001
    """One random order a pair, read by a regular expression, kept as alpaca_eval keeps it."""
    from alpaca_eval.annotators import PairwiseAnnotator

    folder = out / "judge"
    folder.mkdir()
    (folder / "prompt.txt").write_text(
        "<|im_start|>user\n"
        + TEMPLATE.format(text="{instruction}", a="{output_1}", b="{output_2}")
        + "\n<|im_end|>"
    )
    settings = {
        "judge": {
            "prompt_template": str(folder / "prompt.txt"),
            "fn_completions": "openai_completions",
            "completions_kwargs": {
                "model_name": MODEL,
                "max_tokens": 512,
                "num_procs": in_flight,
                "price_per_token": 0,
            },
            "fn_completion_parser": "regex_parser",
            "completion_parser_kwargs": {
                "outputs_to_match": {1: "VERDICT: A", 2: "VERDICT: B"},
            },
            "batch_size": 1,
        }
    }
    import yaml

    (folder / "configs.yaml").write_text(yaml.safe_dump(settings))
    annotator = PairwiseAnnotator(
        annotators_config=str(folder / "configs.yaml"),
        caching_path=str(folder / "cache.json"),
    )
    pairs = [
        {
            "instruction": text(index, CHARACTERS - 500),
            "output_1": "new " + text(index, 200),
            "output_2": "old " + text(index, 200),
        }
        for index in range(calls)
    ]
    return sum(row["preference"] is not None for row in annotator.annotate_pairs(pairs))


DRIVERS: dict[str, Callable[[str, int, int, Path], int]] = {
    driver.__name__: driver
    for driver in (mixmerge, mixmerge_streamed, aiohttp, inspect_ai, alpaca_eval)
}

OURS = ("mixmerge.evaluation.judges.endpoint", "mixmerge.evaluation.judging")
IMPORTS = {
    "mixmerge": OURS,
    "mixmerge_streamed": OURS,
    "aiohttp": ("aiohttp",),
    "inspect_ai": ("inspect_ai", "openai"),
    "alpaca_eval": ("alpaca_eval.annotators", "openai"),
}
"""What each driver imports, done before the clock starts."""


def main() -> None:
    """Run one driver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver", choices=DRIVERS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    os.environ |= {"LOCAL_BASE_URL": given.url, "LOCAL_API_KEY": "none"}
    os.environ |= {"OPENAI_BASE_URL": given.url, "OPENAI_API_BASE": given.url}
    os.environ["OPENAI_API_KEY"] = "none"
    for module in IMPORTS[given.driver]:
        importlib.import_module(module)
    started = time.perf_counter()
    read = DRIVERS[given.driver](given.url, given.calls, given.in_flight, given.out)
    print(json.dumps({"read": read, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
