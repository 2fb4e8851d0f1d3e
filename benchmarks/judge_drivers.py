"""Ways to ask an endpoint for verdicts, each run as a process of its own.

    python -m benchmarks.judge_drivers DRIVER --url URL --calls 1000 --in-flight 100 --out FOLDER

Every driver sends ``calls`` prompts of two thousand characters, reads the verdicts, keeps them on
disk as its package does, and prints one line of JSON: how many it read, and the seconds from the
first call to the last verdict on disk, without the start of Python and the imports.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

CHARACTERS = 2_000
MODEL = "judge"
TEMPLATE = "Which answer is better?\n\n{text}\n\nAnswer A: {a}\n\nAnswer B: {b}\n\nVERDICT: A or B"


def text(index: int, characters: int) -> str:
    """Return a text of its own for every index."""
    words = f"Question {index}: what did people eat in the old town by the river, and why? "
    return (words * (characters // len(words) + 1))[:characters]


def mixmerge(url: str, calls: int, in_flight: int, out: Path) -> int:
    """Compare answers in both orders: journal, parsing, typed verdicts as JSON Lines."""
    from mixmerge.evaluate.endpoint_spec import EndpointJudgeSpec
    from mixmerge.evaluate.judges.endpoint import EndpointJudge
    from mixmerge.evaluate.judging import judge
    from mixmerge.records import Message, Prompt, Response

    # The rubric has about 1,300 characters of its own.
    prompts = [
        Prompt(
            id=f"q{index}",
            cluster=f"q{index}",
            language="en",
            messages=(Message(role="user", content=text(index, 250)),),
        )
        for index in range(calls // 2)
    ]
    answers, base = (
        [
            Response(
                prompt=prompt.id, text=who + text(index, 225), finish_reason="stop", tokens=100
            )
            for index, prompt in enumerate(prompts)
        ]
        for who in ("new ", "old ")
    )
    spec = EndpointJudgeSpec(endpoint=url, model=MODEL, concurrency=in_flight)
    verdicts = judge(
        "general",
        prompts,
        answers,
        base_answers=base,
        by=EndpointJudge(spec, out / "calls.jsonl"),
        out=out / "verdicts.jsonl",
    )
    return sum(verdict.outcome in {"win", "loss"} for verdict in verdicts)


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


def inspect_ai(url: str, calls: int, in_flight: int, out: Path) -> int:
    """One sample a call: generate, and a scorer that looks for the verdict."""
    os.environ |= {"LOCAL_BASE_URL": url, "LOCAL_API_KEY": "none"}
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


def alpaca_eval(url: str, calls: int, in_flight: int, out: Path) -> int:
    """One random order a pair, read by a regular expression, kept as alpaca_eval keeps it."""
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_BASE": url, "OPENAI_API_KEY": "none"}
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
    driver.__name__: driver for driver in (mixmerge, aiohttp, inspect_ai, alpaca_eval)
}


def main() -> None:
    """Run one driver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("driver", choices=DRIVERS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    started = time.perf_counter()
    read = DRIVERS[given.driver](given.url, given.calls, given.in_flight, given.out)
    print(json.dumps({"read": read, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
