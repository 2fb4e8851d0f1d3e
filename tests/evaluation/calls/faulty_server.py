"""An endpoint, in a process of its own, that fails three calls in ten, each in some way.

    python -m tests.evaluation.calls.faulty_server LOG SEED

Prints its port and serves until its input ends. LOG gets one line of JSON for every event:
``[key, "asked" | "answered" | "over", how]``. ``answered`` is written just before a whole, good
reply is sent, ``over`` when the server is done with a call, whatever became of it.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from mixmerge.evaluation.calls.endpoint import call_key

SECONDS = 0.02
FAULTS = {
    "429": 4,
    "429 with Retry-After": 4,
    "429 for forty minutes": 1,
    "500": 4,
    "reset": 4,
    "half a body": 4,
    "time-out": 0.5,
    "empty": 4,
    "wrong schema": 4,
}
GOOD = {"verdict": 66.5, "prose": 2, "refusal": 2}
"""Replies that are whole, with a verdict, without one, and from a judge that will not judge."""


def completion(text: str | None, refusal: str | None = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


REPLIES = {
    "verdict": completion('{"reasons": "so", "verdict": "A"}'),
    "prose": completion("I would say that the first one is better."),
    "refusal": completion(None, "I cannot judge this."),
}


class Faulty:
    def __init__(self, log: Path, seed: int) -> None:
        self._log = log.open("a", buffering=1)
        self._random = random.Random(seed)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        key = call_key(await request.json())
        kinds = FAULTS | GOOD
        (how,) = self._random.choices(list(kinds), list(kinds.values()))
        self._say(key, "asked", how)
        try:
            await asyncio.sleep(SECONDS)
            if how in GOOD:
                self._say(key, "answered", how)
                return web.json_response(REPLIES[how])
            return await self._fail(request, how)
        finally:
            self._say(key, "over", how)

    def _say(self, *event: str) -> None:
        self._log.write(json.dumps(event) + "\n")

    async def _fail(self, request: web.Request, how: str) -> web.StreamResponse:
        if how.startswith("429"):
            wait = {"429 with Retry-After": "0.1", "429 for forty minutes": "2400"}.get(how)
            return web.Response(status=429, headers={"Retry-After": wait} if wait else {})
        if how == "reset":
            assert request.transport is not None
            request.transport.abort()
        if how == "half a body":
            half = web.StreamResponse(headers={"Content-Length": "1000"})
            await half.prepare(request)
            await half.write(b'{"choices": [{"mess')
            assert request.transport is not None
            request.transport.close()
            return half
        if how == "time-out":
            await asyncio.sleep(30)
        bodies = {"empty": "", "wrong schema": '{"verdict": "A"}'}
        return web.Response(status=200 if how in bodies else 500, text=bodies.get(how, "oops"))


async def serve(log: Path, seed: int) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", Faulty(log, seed).complete)
    # A call is over when its client is gone.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
